"""Write the set of common passwords again: `python -m tools.common_passwords LIST... > common_passwords.txt`.

Each LIST is a text file of passwords, one a line. Those used to make the set are the 19,640 of Django
(BSD-3-Clause, django/contrib/auth/common-passwords.txt.gz, unpacked) and the 30,000 of zxcvbn (MIT, the list
`passwords` of zxcvbn/frequency_lists.py). Only those of 12 characters and more are in it: shorter ones cannot
be chosen.
"""

import sys
from pathlib import Path

from kener_async.identity.passwords import LEAST, fingerprint, normal

HEADER = """\
# The passwords of 12 characters and more among the 20,000 most used of Django's list (BSD-3-Clause) and the
# 30,000 of zxcvbn's (MIT): the first 16 hexadecimal digits of the SHA-256 of each, in lower case.
# tools/common_passwords.py makes this file."""


def main(paths: list[str]) -> None:
    passwords = (line for path in paths for line in Path(path).read_text(encoding="utf-8").splitlines())
    print(HEADER)
    for line in sorted({fingerprint(text) for text in map(normal, passwords) if len(text) >= LEAST}):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
