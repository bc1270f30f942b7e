"""The API of the guide: its own CORS layer is for what is real, `[cors]` for what is mocked."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

app = FastAPI()
app.add_middleware(CORSMiddleware, allow_origins=["http://localhost:3000"], allow_credentials=True)


@app.get("/payments/{payment}")
def payment(payment: int) -> dict[str, object]:
    return {"id": payment, "state": "paid"}
