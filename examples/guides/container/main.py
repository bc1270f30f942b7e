"""The shop of the guides: a small real service, which knows nothing of mockware."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/payments/{payment}")
def payment(payment: int) -> dict[str, object]:
    return {"id": payment, "state": "paid"}


@app.post("/orders", status_code=201)
def order() -> dict[str, str]:
    return {"state": "ordered"}
