#!/usr/bin/env python3
"""Turn the PyPI sdist autobahntestsuite-25.10.1.tar.gz (Python 2.7 source) into
an importable Python 3 package.   usage: port_wstest.py SDIST DESTDIR

Text literals of the suite stay `str`, one character per wire octet (latin-1);
they are turned into bytes where they meet autobahn, and received octets are
turned back into such a `str` where a case records them.
"""
import io, os, re, sys, tarfile

KEEP = re.compile(r'^[^/]+/autobahntestsuite/(_version\.py|caseset\.py|fuzzing\.py|report\.py|case/(?!case9_9_1)[^/]+\.py|testdata/[^/]+|web/fuzzingserver/.*)$')

INIT = 'from ._version import __version__\nversion = __version__\n'

COMPAT = '''
import binascii as _b
def tob(x):
    return x.encode("latin-1") if isinstance(x, str) else bytes(x)
def tos(x):
    return x if isinstance(x, str) else bytes(x).decode("latin-1")
def b2a_hex(x):
    return _b.b2a_hex(tob(x)).decode("ascii")
hexlify = b2a_hex
'''

# the octet boundary: mixed into FuzzingProtocol (first in the MRO)
BOUNDARY = '''
class OctetBoundary:
   def sendFrame(self, opcode, payload = b"", fin = True, rsv = 0, mask = None, payload_len = None, chopsize = None, sync = False):
      payload = tob(payload)
      if payload_len is not None:
         if len(payload) < 1:
            raise Exception("cannot construct repeated payload")
         payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
      return super().sendFrame(opcode = opcode, payload = payload, fin = fin, rsv = rsv, mask = mask, chopsize = chopsize, sync = sync)
   def sendMessage(self, payload, isBinary = False, fragmentSize = None, sync = False, doNotCompress = False):
      return super().sendMessage(tob(payload), isBinary, fragmentSize, sync, doNotCompress)
   def sendMessageFrameData(self, payload, sync = False):
      return super().sendMessageFrameData(tob(payload), sync)
   def sendCloseFrame(self, code = None, reasonUtf8 = None, isReply = False):
      return super().sendCloseFrame(code = code, reasonUtf8 = None if reasonUtf8 is None else tob(reasonUtf8), isReply = isReply)

'''

MAIN = '''
"""python -m autobahntestsuite -m list|fuzzingclient|fuzzingserver -s SPEC.json

list           prints the ids of the cases that the spec selects, one a line
fuzzingclient  runs them against the servers of the spec
fuzzingserver  serves them on 127.0.0.1 at the port of the spec's url; for port 0
               on a free one; prints `listening on 127.0.0.1:PORT` when ready
"""
import argparse, json, re, socket, sys, warnings
warnings.simplefilter("ignore")
from twisted.internet import reactor
import txaio
txaio.use_twisted()
from . import fuzzing

def case_set():
    from .case import Cases, CaseCategories, CaseSubCategories, CaseBasename
    from .caseset import CaseSet
    return CaseSet("case", CaseBasename, Cases, CaseCategories, CaseSubCategories)

def list_cases(spec):
    cases = case_set()
    for pattern in spec["cases"]:
        found = cases.resolveCasePatternList([pattern])
        if not found or any(c not in cases.CasesById for c in found):
            sys.exit("the suite has no case %r" % pattern)
    for case in cases.parseSpecCases(spec):
        print(case)

def serve(spec):
    port = int(re.fullmatch(r"ws://127\\.0\\.0\\.1:(\\d+)/?", spec["url"]).group(1))
    # Bound before the factory is made: it compares the Host header with the port of the url.
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(50)
    listener.setblocking(False)
    spec["url"] = "ws://127.0.0.1:%d" % listener.getsockname()[1]
    def listen(factory, *_):
        reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, factory)
        listener.close()
        print("listening on " + spec["url"][len("ws://"):], flush = True)
    fuzzing.listenWS = listen
    fuzzing.startServer(spec, 0)

def main():
    p = argparse.ArgumentParser(prog="wstest")
    p.add_argument("-m", "--mode", required=True, choices=["list", "fuzzingclient", "fuzzingserver"])
    p.add_argument("-s", "--spec", required=True)
    a = p.parse_args()
    with open(a.spec) as f:
        spec = json.load(f)
    if a.mode == "list":
        return list_cases(spec)
    if a.mode == "fuzzingclient":
        fuzzing.startClient(spec)
    else:
        serve(spec)
    sys.stdout.flush()
    reactor.run()
main()
'''

def sub1(pat, rep, s, n=None):
    out, c = re.subn(pat, rep, s, flags=re.M)
    if c == 0 or (n is not None and c != n):
        sys.exit("port: %r matched %d times" % (pat, c))
    return out

def common(s, pkgdir):
    s = s.replace('\r\n', '\n')
    s = re.sub(r'^#.*-\*-.*coding.*$', '', s, flags=re.M)
    s = re.sub(r'^(\s*)print\s*$', r'\1print()', s, flags=re.M)
    s = re.sub(r'^(\s*)print (.+)$', r'\1print(\2, flush = True)', s, flags=re.M)
    s = re.sub(r'([\w.\[\]]+)\.has_key\(([^)]*)\)', r'(\2 in \1)', s)
    s = re.sub(r'\bxrange\(', 'range(', s)
    s = re.sub(r'\bunichr\(', 'chr(', s)
    s = s.replace('(object, Case, )', '(Case, )')
    if pkgdir == 'case':
        s = re.sub(r'^from case9_9_1 import \*$', '', s, flags=re.M)  # unused upstream
        s = re.sub(r'^from (case\w*) import', r'from .\1 import', s, flags=re.M)
        s = re.sub(r'^import binascii\b.*$', 'from autobahntestsuite import _py3 as binascii', s, flags=re.M)
    else:
        s = re.sub(r'^from (case|caseset|report) import', r'from .\1 import', s, flags=re.M)
    return s

def port(rel, s):
    d, base = os.path.split(rel)
    if base == 'report.py':
        return common(s, d).split('REPORT_DIR_PERMISSIONS')[0].replace('import jinja2\n', '')
    s = common(s, d)
    if base == 'case.py':
        s = sub1(r'return pickle\.dumps\(obj1\) == pickle\.dumps\(obj2\)', 'return obj1 == obj2', s, 1)
        s = sub1(r'^import pickle$', 'from autobahntestsuite._py3 import tos', s, 1)
        s = sub1(r'self\.received\.append\(\("message", msg, binary\)\)', 'self.received.append(("message", tos(msg), binary))', s, 1)
        s = sub1(r'self\.received\.append\(\("(ping|pong)", payload\)\)', r'self.received.append(("\1", tos(payload)))', s, 2)
    elif base == 'case10_1_1.py':
        s = sub1(r'len\(self\.payload\) / self', 'len(self.payload) // self', s, 1)
    elif base == 'case6_x_x.py':
        s = sub1(r'res = v\.validate\(vss\[:i\]\)', 'res = v.validate(vss[:i].encode("latin-1"))', s, 1)
    elif base == 'case12_x_x.py':
        s = s.replace('import copy, os, pkg_resources, hashlib, binascii', 'import copy, os, hashlib, binascii\nimport autobahntestsuite')
        s = sub1(r'pkg_resources\.resource_filename\("autobahntestsuite", (.*)\)$', r'os.path.join(os.path.dirname(autobahntestsuite.__file__), \1)', s, 3)
        # optional: fewer messages per 12.*/13.* case (upstream: 1000)
        s = sub1(r'"COUNT": s\[1\]', '"COUNT": int(os.environ.get("WSTEST_DEFLATE_COUNT", s[1]))', s, 2)
    elif base == 'fuzzing.py':
        s = s.replace(', pkg_resources\n', '\n', 1).replace('import os, json, binascii,', 'import os, json,', 1)
        s = sub1(r'^from twisted\.internet import reactor, ssl$', 'from twisted.internet import reactor\ntry:\n   from twisted.internet import ssl\nexcept ImportError:\n   ssl = None\nfrom . import _py3 as binascii\nfrom ._py3 import tob, tos', s, 1)
        s = sub1(r'self\.contextFactory = ssl\.ClientContextFactory\(\)', 'self.contextFactory = ssl.ClientContextFactory() if ssl else None', s, 1)
        s = sub1(r'pkg_resources\.resource_filename\("autobahntestsuite",\s*"web/fuzzingserver"\)', 'os.path.join(os.path.dirname(autobahntestsuite.__file__), "web/fuzzingserver")', s, 1)
        s = s.replace("webdir.putChild('cwd', curdir)", "webdir.putChild(b'cwd', curdir)")
        # wire-log helpers work on octets
        s = sub1(r'^   ellipses = " \.\.\."$', '   ellipses = " ..."\n   data = tob(data)', s, 2)
        s = sub1(r'dd = data\[:maxlen\] \+ ellipses', 'dd = data[:maxlen] + tob(ellipses)', s, 1)
        s = sub1(r"p = ''\.join\(payload\)", "p = b''.join(payload)", s, 1)
        s = sub1(r'^class FuzzingProtocol:$', BOUNDARY + 'class FuzzingProtocol(OctetBoundary):', s, 1)
        s = re.sub(r'"httpRe(quest|sponse)": self\.http_(request|response)_data if', r'"httpRe\1": tos(self.http_\2_data) if', s)
        # reports: text files, utf-8
        s = sub1(r"f = open\(os\.path\.join\(outdir, report_filename\), 'w'\)", "f = open(os.path.join(outdir, report_filename), 'w', encoding = 'utf-8')", s, 4)
        s = sub1(r'\(c\[0\], case\[c\[0\]\], c\[1\]\)\)\.encode\("utf-8"\)\)', '(c[0], case[c[0]], c[1])))', s, 1)
        s = sub1(r"ll\.encode\('utf8'\)", 'll', s, 1)
        s = sub1(r"json\.dumps\(case, ", "json.dumps(case, default = tos, ", s, 1)
        s = s.replace('obj = json.loads(msg)', 'obj = json.loads(tos(msg))')
        s = s.replace('log.msg("Pong received: " + payload)', 'log.msg("Pong received: " + tos(payload))')
        # reports are written once per run; HTML only if asked for
        s = sub1(r'produceHtml = True, produceJson = True', 'produceHtml = bool(os.environ.get("WSTEST_HTML")), produceJson = True', s, 1)
    return s

def main(sdist, dest):
    n = 0
    with tarfile.open(sdist) as t:
        for m in t.getmembers():
            if not m.isfile() or not KEEP.match(m.name):
                continue
            rel = m.name.split('/', 2)[2]
            data = t.extractfile(m).read()
            if rel.endswith('.py'):
                data = port(rel, data.decode('latin-1')).encode('utf-8')
            p = os.path.join(dest, 'autobahntestsuite', rel)
            os.makedirs(os.path.dirname(p), exist_ok=True)
            with open(p, 'wb') as f:
                f.write(data)
            n += 1
    for rel, text in (('__init__.py', INIT), ('_py3.py', COMPAT), ('__main__.py', MAIN)):
        with open(os.path.join(dest, 'autobahntestsuite', rel), 'w') as f:
            f.write(text)
    print('ported', n, 'files to', dest)

main(*sys.argv[1:])
