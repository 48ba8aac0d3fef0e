"""The command line as a process of its own that reaches the loopback exchange and nothing else.

python -m tests.loopback.child PORT CERTIFICATE -- ARGUMENTS OF LONGSHORT
"""

import sys
from pathlib import Path

from longshort.__main__ import main
from tests.loopback.redirect import redirect

if __name__ == "__main__":
    _, port, trusted, dashes, *arguments = sys.argv
    assert dashes == "--", __doc__
    redirect(int(port), Path(trusted))
    sys.argv = ["longshort", *arguments]
    main()
