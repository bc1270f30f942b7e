"""`python -m mockware`: the same commands as `mockware`.

Law: nothing happens on import. A server's worker processes may import this file again.
"""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
