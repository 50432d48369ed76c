#!/bin/bash
# install.sh DIR: makes DIR/wstest, the Autobahn testsuite 25.10.1 for Python 3.
# Wants CPython with venv (named by $PYTHON, tested with 3.11) and PyPI, nothing else.
# The package on PyPI is Python 2.7 source: port_wstest.py rewrites it after the download.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
python=${PYTHON:-python3}

mkdir -p "$dir"
"$python" -m venv "$dir/venv"
pip=("$dir/venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install -q setuptools==65.5.0 wheel==0.45.1
"${pip[@]}" install -q --no-deps --no-build-isolation -r "$here/requirements.txt"
"${pip[@]}" download -q --no-deps --no-build-isolation --no-binary autobahntestsuite \
    -d "$dir/download" autobahntestsuite==25.10.1
"$dir/venv/bin/python" "$here/port_wstest.py" "$dir/download/autobahntestsuite-25.10.1.tar.gz" "$dir/site"

cat > "$dir/wstest" <<W
#!/bin/bash
PYTHONPATH='$dir/site' exec '$dir/venv/bin/python' -W ignore -m autobahntestsuite "\$@"
W
chmod +x "$dir/wstest"
