"""Puts a program into a zip for Lambda, under the name `bootstrap`: zip.py PROGRAM ZIP

The same program always gives the same zip. The time and the mode are fixed, and the program is stored uncompressed,
because the result of compression depends on the library that this Python was built with.
"""

import sys
import zipfile

program, path = sys.argv[1:]
entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
entry.create_system = 3  # Unix, so that the mode counts.
entry.external_attr = 0o100755 << 16
with open(program, "rb") as file, zipfile.ZipFile(path, "w") as archive:
    archive.writestr(entry, file.read(), zipfile.ZIP_STORED)
