/* cases_pickle.h - pickles that are refused: the bytes, the status, and part of the sentence. */
#ifndef EET_TESTS_CASES_PICKLE_H
#define EET_TESTS_CASES_PICKLE_H

#include "format/types.h"

typedef struct pickle_case {
    const char *name;
    const char *data;
    size_t bytes;
    eet_status status;
    const char *says;
} pickle_case;

#define P(text) text, sizeof(text) - 1
#define BAD(name, text, says) \
    { name, P(text), EET_E_CORRUPT, says }
#define EVIL(name, text, says) \
    { name, P(text), EET_E_SUSPICIOUS, says }

static const pickle_case refused[] = {
    /* the stream */
    BAD("nothing", "", "ends without STOP"),
    BAD("no STOP", "\x80\x02N", "ends without STOP"),
    BAD("STOP of nothing", ".", "0 values"),
    BAD("STOP of two values", "NN.", "2 values"),
    BAD("STOP above a mark", "N(.", "1 marks"),
    BAD("bytes after STOP", "N.N", "at byte 2: 1 bytes follow"),
    BAD("an unknown opcode", "\xFF.", "no opcode 0xFF"),
    BAD("opcode 0", "\0.", "no opcode 0x00"),
    {"protocol 6", P("\x80\x06N."), EET_E_UNSUPPORTED, "protocol 6"},
    {"protocol 0 by PROTO", P("\x80\0N."), EET_E_UNSUPPORTED, "protocol 0"},
    {"protocol 0 by its PUT", P("]p0\n."), EET_E_UNSUPPORTED, "protocol 0"},
    BAD("a second PROTO", "\x80\x02\x80\x02N.", "only at the beginning"),
    BAD("a FRAME too long", "\x80\x04\x95\x03\0\0\0\0\0\0\0N.", "FRAME of 3 bytes, 2 remain"),
    BAD("a FRAME of 2^63-1", "\x95\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7FN.",
        "FRAME of 9223372036854775807"),
    BAD("EXT1", "\x82\x01.", "EXT1 has no place"),
    BAD("EXT2", "\x83\x01\0.", "EXT2 has no place"),
    BAD("EXT4", "\x84\x01\0\0\0.", "EXT4 has no place"),
    BAD("PERSID", "Pstorage\n.", "PERSID has no place"),
    BAD("NEXT_BUFFER", "\x97.", "NEXT_BUFFER has no place"),
    BAD("READONLY_BUFFER", "N\x98.", "READONLY_BUFFER has no place"),
    /* the stack */
    BAD("POP of nothing", "0N.", "POP on an empty stack"),
    BAD("DUP of nothing", "2.", "DUP on an empty stack"),
    BAD("POP below a mark", "N(NQ.", "BINPERSID of None"),
    BAD("TUPLE without a mark", "NNt.", "TUPLE without a MARK"),
    BAD("LIST without a mark", "Nl.", "LIST without a MARK"),
    BAD("DICT without a mark", "NNd.", "DICT without a MARK"),
    BAD("FROZENSET without a mark", "N\x91.", "FROZENSET without a MARK"),
    BAD("POP_MARK without a mark", "N1.", "POP_MARK without a MARK"),
    BAD("TUPLE1 below a mark", "N(\x85.", "TUPLE1 on an empty stack"),
    BAD("TUPLE2 of one value", "N\x86.", "TUPLE2 on an empty stack"),
    BAD("TUPLE3 of two values", "NN\x87.", "TUPLE3 on an empty stack"),
    BAD("odd DICT", "(NNNd.", "a key without a value"),
    BAD("APPEND to nothing", "Na.", "APPEND on an empty stack"),
    BAD("APPENDS without a mark", "]Ne.", "APPENDS without a MARK"),
    BAD("SETITEM of one value", "}Ns.", "SETITEM on an empty stack"),
    /* what may be filled */
    BAD("APPEND on a dict", "}Na.", "APPEND on a dict"),
    BAD("APPEND on a tuple", ")Na.", "APPEND on a tuple"),
    BAD("APPENDS on an int", "K\x01(Ne.", "APPENDS on an integer"),
    BAD("SETITEM on a list", "]NNs.", "SETITEM on a list"),
    BAD("SETITEMS on a list", "](NNu.", "SETITEMS on a list"),
    BAD("SETITEMS on a string", "\x8C\x01x(NNu.", "SETITEMS on a string"),
    BAD("odd SETITEMS", "}(NNNu.", "a key without a value"),
    BAD("SETITEM on a Namespace", "cargparse\nNamespace\n)R\x8C\x01xNs.", "SETITEM on a dict"),
    BAD("ADDITEMS on a list", "](N\x90.", "ADDITEMS on a list"),
    BAD("BUILD on an int", "K\x01}b.", "BUILD on an integer"),
    BAD("BUILD on a plain dict", "}}b.", "BUILD on a dict"),
    BAD("BUILD on a global", "cm\nn\n}b.", "BUILD on a global"),
    BAD("BUILD of a Namespace with a list", "cargparse\nNamespace\n)R]b.", "not a dict"),
    /* calls */
    BAD("REDUCE without a tuple", "cm\nn\n]R.", "REDUCE with a list, not a tuple"),
    BAD("REDUCE of an int", "K\x01)R.", "REDUCE of an integer, which cannot be called"),
    BAD("REDUCE of a dict", "})R.", "cannot be called"),
    BAD("NEWOBJ of a string", "\x8C\x01x)\x81.", "NEWOBJ of a string"),
    BAD("NEWOBJ_EX with a list", "cm\nn\n)]\x92.", "NEWOBJ_EX with a list"),
    BAD("OBJ of nothing", "(o.", "OBJ without a class"),
    BAD("INST without a mark", "im\nn\n.", "INST without a MARK"),
    BAD("OrderedDict of no pairs", "ccollections\nOrderedDict\n](]Nae\x85R.", "not from a pair"),
    BAD("_codecs.encode beyond Latin-1",
        "c_codecs\nencode\n\x8C\x03\xE2\x82\xAC\x8C\x06latin1\x86R.", "to Latin-1"),
    BAD("BINPERSID of an int", "K\x01Q.", "BINPERSID of an integer"),
    BAD("BINPERSID of an empty tuple", ")Q.", "that is no storage"),
    BAD("BINPERSID of a module", "\x8C\x06module\x85Q.", "that is no storage"),
    /* globals */
    BAD("GLOBAL without a second line", "cm\nn", "no end of line"),
    BAD("GLOBAL without a name", "cm\n\n.", "no module or class has"),
    BAD("GLOBAL with an escape", "cm\x1B[31m\nn\n.", "no module or class has"),
    BAD("STACK_GLOBAL of an int", "K\x01\x8C\x01n\x93.", "of an integer and a string"),
    BAD("STACK_GLOBAL of bytes", "\x8C\x01mC\x01n\x93.", "of a string and bytes"),
    BAD("STACK_GLOBAL of one", "\x8C\x01n\x93.", "STACK_GLOBAL on an empty stack"),
    BAD("STACK_GLOBAL with a new line", "\x8C\x01m\x8C\x02n\n\x93.", "no module or class has"),
    /* the memo */
    BAD("BINPUT of nothing", "q\0N.", "BINPUT on an empty stack"),
    BAD("LONG_BINPUT of 0xFFFFFFFF", "Nr\xFF\xFF\xFF\xFF.", "to memo 4294967295 after 2"),
    BAD("GET of an undefined entry", "\x80\x02g7\n.", "GET of memo 7, which nothing"),
    BAD("BINGET of an undefined entry", "Nq\x01h\0.", "BINGET of memo 0"),
    BAD("LONG_BINGET of 0xFFFFFFFF", "j\xFF\xFF\xFF\xFF.", "LONG_BINGET of memo 4294967295"),
    BAD("GET of no number", "\x80\x02g-1\n.", "GET of no number"),
    BAD("PUT of no number", "\x80\x02Np\n.", "PUT of no number"),
    BAD("MEMOIZE of nothing", "\x94.", "MEMOIZE on an empty stack"),
    /* lengths */
    BAD("BINUNICODE8 of 2^63-1", "\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7Fx.",
        "needs 9223372036854775807"),
    BAD("BINUNICODE8 of 2^64-1", "\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFx.",
        "needs 18446744073709551615"),
    BAD("BINBYTES8 of 2^63-1", "\x8E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7Fx.",
        "needs 9223372036854775807"),
    BAD("BYTEARRAY8 of one too many", "\x96\x03\0\0\0\0\0\0\0x.", "needs 3 bytes, 2 remain"),
    BAD("LONG4 of 2^32-1", "\x8B\xFF\xFF\xFF\xFFx.", "LONG4 needs 4294967295"),
    BAD("LONG1 of one too many", "\x8A\x03x.", "LONG1 needs 3 bytes, 2 remain"),
    BAD("BINUNICODE of one too many", "X\x03\0\0\0x.", "BINUNICODE needs 3 bytes, 2 remain"),
    BAD("BINSTRING of a negative length", "T\xFF\xFF\xFF\xFFx.", "BINSTRING needs 4294967295"),
    BAD("BINBYTES of one too many", "B\x03\0\0\0x.", "BINBYTES needs 3"),
    BAD("SHORT_BINBYTES of one too many", "C\x03x.", "SHORT_BINBYTES needs 3"),
    BAD("SHORT_BINUNICODE of one too many", "\x8C\x03x.", "SHORT_BINUNICODE needs 3"),
    BAD("SHORT_BINSTRING of one too many", "U\x03x.", "SHORT_BINSTRING needs 3"),
    /* text */
    BAD("a string that is not UTF-8", "\x8C\x01\xFF.", "is not UTF-8"),
    BAD("INT of no number", "Ix\n.", "INT of no number"),
    BAD("INT of nothing", "I\n.", "INT of no number"),
    BAD("INT of a sign", "I-\n.", "INT of no number"),
    BAD("LONG of no number", "L1.5L\n.", "LONG of no number"),
    BAD("FLOAT of a decimal comma", "F1,5\n.", "FLOAT of no number"),
    BAD("FLOAT in hexadecimal", "F0x1p3\n.", "FLOAT of no number"),
    BAD("FLOAT of nothing", "F\n.", "FLOAT of no number"),
    BAD("FLOAT of a point", "F.\n.", "FLOAT of no number"),
    BAD("FLOAT without an exponent", "F1e\n.", "FLOAT of no number"),
    BAD("FLOAT of infinity spelt out", "Finfinity\n.", "FLOAT of no number"),
    BAD("FLOAT with a blank", "F 1\n.", "FLOAT of no number"),
    BAD("STRING without quotes", "Sabc\n.", "without quotes"),
    BAD("STRING with one quote", "S'\n.", "without quotes"),
    BAD("STRING with a broken escape", "S'\\xZ'\n.", "broken escape"),
    BAD("STRING that ends in a backslash", "S'\\'\n.", "broken escape"),
    BAD("UNICODE with a broken escape", "V\\u12\n.", "broken escape"),
    BAD("UNICODE beyond Unicode", "V\\U00110000\n.", "broken escape"),
    /* item 35 */
    EVIL("os.system",
         "\x80\x02"
         "cos\nsystem\n\x8C\x02id\x85R.",
         "would call os.system at byte 18"),
    EVIL("os.system after a valid value", "\x80\x02(}cos\nsystem\n\x8C\x02id\x85Rt.", "os.system"),
    EVIL("posix.system", "cposix\nsystem\n\x8C\x02id\x85R.", "posix.system"),
    EVIL("nt.system", "cnt\nsystem\n\x8C\x02id\x85R.", "nt.system"),
    EVIL("through the memo",
         "\x8C\x02os\x94\x8C\x06system\x94"
         "00h\0h\x01\x93\x8C\x02id\x85R.",
         "os.system"),
    EVIL("builtins.eval",
         "cbuiltins\neval\n\x8C\x01"
         "1\x85R.",
         "builtins.eval"),
    EVIL("__builtin__.eval",
         "c__builtin__\neval\n\x8C\x01"
         "1\x85R.",
         "builtins.eval"),
    EVIL("builtins.exec by INST",
         "(\x8C\x01"
         "1ibuiltins\nexec\n.",
         "builtins.exec"),
    EVIL("builtins.__import__ by OBJ", "(cbuiltins\n__import__\n\x8C\x02oso.",
         "builtins.__import__"),
    EVIL("builtins.open", "cbuiltins\nopen\n\x8C\x01x\x85R.", "builtins.open"),
    EVIL("builtins.compile", "cbuiltins\ncompile\n\x8C\x01x\x85R.", "builtins.compile"),
    EVIL("subprocess.Popen by NEWOBJ", "csubprocess\nPopen\n\x8C\x02id\x85\x81.",
         "subprocess.Popen"),
    EVIL("subprocess.Popen by NEWOBJ_EX", "csubprocess\nPopen\n)}\x92.", "subprocess.Popen"),
    EVIL("by _reconstructor",
         "ccopy_reg\n_reconstructor\ncsubprocess\nPopen\ncbuiltins\nobject\nN\x87R.",
         "subprocess.Popen"),
    EVIL("pip.main", "cpip\nmain\n]\x85R.", "pip.main"),
    EVIL("a submodule", "cpip._internal.cli.main\nmain\n]\x85R.", "pip._internal.cli.main.main"),
    EVIL("a path behind another module", "ctorch.serialization\nos.system\n\x8C\x02id\x85R.",
         "os.system"),
    EVIL("runpy", "crunpy\n_run_code\n)R.", "runpy"),
    EVIL("pty", "cpty\nspawn\n)R.", "pty.spawn"),
    EVIL("socket", "csocket\nsocket\n)R.", "socket.socket"),
    EVIL("importlib", "cimportlib\nimport_module\n)R.", "importlib"),
    EVIL("ctypes", "cctypes\nCDLL\n)R.", "ctypes.CDLL"),
    EVIL("asyncio", "casyncio\nrun\n)R.", "asyncio.run"),
    EVIL("webbrowser", "cwebbrowser\nopen\n)R.", "webbrowser.open"),
    EVIL("before a broken end", "cos\nsystem\n)R\xFF", "os.system"),
};
enum { REFUSED = sizeof refused / sizeof refused[0] };

/* One of every opcode, and of what calls give; all are accepted. */
static const struct {
    const char *name, *data;
    size_t bytes;
    const char *shown; /* what show() of test_pickle.c writes */
} accepted[] = {
    {"NONE", P("\x80\x02N."), "None"},
    {"booleans", P("\x80\x02\x88\x89\x86."), "(True, False)"},
    {"booleans of protocol 1", P("(I01\nI00\nt."), "(True, False)"},
    {"INT", P("(I-12\nI+7\nI9223372036854775807\nI-9223372036854775808\nt."),
     "(-12, 7, 9223372036854775807, -9223372036854775808)"},
    {"a long INT", P("I9223372036854775808\n."), "big:19"},
    {"BININT", P("J\xFF\xFF\xFF\xFF."), "-1"},
    {"BININT1, BININT2", P("K\xFFM\x01\x80\x86."), "(255, 32769)"},
    {"LONG", P("(L12L\nL-3\nt."), "(12, -3)"},
    {"LONG1", P("(\x8A\0\x8A\x01\xFF\x8A\x02\xFF\0\x8A\x08\0\0\0\0\0\0\0\x80t."),
     "(0, -1, 255, -9223372036854775808)"},
    {"a long LONG1", P("\x8A\x09\0\0\0\0\0\0\0\0\x01."), "big:9"},
    {"LONG4", P("\x8B\x02\0\0\0\x39\x30."), "12345"},
    {"FLOAT", P("(F1.5\nF-.5e-3\nF1e999\nFnan\nF-inf\nF1.\nt."),
     "(1.5, -0.0005, inf, nan, -inf, 1)"},
    {"BINFLOAT", P("G\x3F\xF8\0\0\0\0\0\0."), "1.5"},
    {"STRING", P("(S'ab'\nS\"\\x41\\n\\'\\101\"\nS''\nt."), "('ab', 'A\n'A', '')"},
    {"STRING of bytes", P("S'\\xff'\n."), "b'\xFF'"},
    {"BINSTRING", P("T\x02\0\0\0abU\x01z\x86."), "('ab', 'z')"},
    {"UNICODE", P("Va\\u20ac\\U0001F600\xE9\\n\n."), "'a\xE2\x82\xAC\xF0\x9F\x98\x80\xC3\xA9\\n'"},
    {"BINUNICODE", P("X\x02\0\0\0ab\x8C\x01z\x8D\x01\0\0\0\0\0\0\0y\x87."), "('ab', 'z', 'y')"},
    {"a lone surrogate", P("\x8C\x03\xED\xA0\x80."), "'\xED\xA0\x80'"},
    {"BINBYTES",
     P("(B\x01\0\0\0\xFF"
       "C\x01z\x8E\x01\0\0\0\0\0\0\0y\x96\x01\0\0\0\0\0\0\0xt."),
     "(b'\xFF', b'z', b'y', b'x')"},
    {"tuples", P("()N\x85NN\x86NNN\x87(tt."), "((), (None), (None, None), (None, None, None), ())"},
    {"lists", P("(](NNl]Na](NNet."), "([], [None, None], [None], [None, None])"},
    {"dicts", P("(}(K\x01Nd}K\x01Ns}(K\x01NK\x02Nut."),
     "({}, {1: None}, {1: None}, {1: None, 2: None})"},
    {"sets", P("(\x8F(K\x01K\x02\x90(K\x03\x91t."), "(<1, 2>, <3>)"},
    {"POP, POP_MARK, DUP", P("NN0(NN1(0K\x05\x32\x86\x86."), "(None, (5, 5))"},
    {"the memo", P("(K\x07q\x01r\x02\0\0\0\x94h\x01j\x02\0\0\0h\2t."), "(7, 7, 7, 7)"},
    {"the memo in text", P("\x80\x02K\x07p3\n0g3\n."), "7"},
    {"MEMOIZE numbers from 0", P("\x80\x04K\x07\x94K\x08\x94h\0h\x01\x86\x87."), "(7, 8, (7, 8))"},
    {"FRAME", P("\x80\x04\x95\x02\0\0\0\0\0\0\0N."), "None"},
    {"GLOBAL", P("cm.n\nC\n."), "m.n.C"},
    {"STACK_GLOBAL", P("\x8C\x01m\x8C\x01n\x93."), "m.n"},
    {"renamed modules", P("(c__builtin__\nset\nccopy_reg\nx\ncnumpy._core.multiarray\nscalar\nt."),
     "(builtins.set, copyreg.x, numpy.core.multiarray.scalar)"},
    {"a gadget that is not called", P("cos\nsystem\n."), "os.system"},
    {"REDUCE of the unknown", P("ctorch.hub\nload\nK\x01\x85R."), "torch.hub.load(1)"},
    {"NEWOBJ, NEWOBJ_EX, INST, OBJ",
     P("(cm\nC\n)\x81"
       "cm\nC\n)}\x92(K\x01im\nC\n(cm\nC\nK\x02ot."),
     "(m.C(), m.C(), m.C(1), m.C(2))"},
    {"a call of a call", P("cm\nf\n)R)R."), "m.f()()"},
    {"filling an object", P("cm\nC\n)RNa(NNe(NNuNNs(N\x90}b."), "m.C()+{}"},
    {"enums of Python 3.11", P("cbuiltins\ngetattr\ncm\nE\n\x8C\x01x\x86R."),
     "builtins.getattr(m.E, 'x')"},
    {"OrderedDict", P("ccollections\nOrderedDict\n)RK\x01Ns}b."), "{1: None}+{}"},
    {"OrderedDict of Python 2", P("ccollections\nOrderedDict\n](](K\x01Ne](K\x02Nee\x85R."),
     "{1: None, 2: None}"},
    {"defaultdict, Counter",
     P("(ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R"
       "ccollections\nCounter\n}K\x01K\x02s\x85Rt."),
     "({}, {1: 2})"},
    {"Namespace", P("cargparse\nNamespace\n)\x81}\x8C\x01xK\x01sb."), "{'x': 1}"},
    {"Namespace of protocol 1",
     P("ccopy_reg\n_reconstructor\ncargparse\nNamespace\nc__builtin__\nobject\nN\x87R}"
       "\x8C\x01xK\x01sb."),
     "{'x': 1}"},
    {"another class of protocol 1",
     P("ccopy_reg\n_reconstructor\ncm\nC\ncbuiltins\nobject\nN\x87R."), "m.C()"},
    {"sets of protocol 2",
     P("c__builtin__\nset\n](K\x01K\x02"
       "e\x85R."),
     "<1, 2>"},
    {"bytes of protocol 2",
     P("c_codecs\nencode\n\x8C\x03"
       "a\xC3\xBF\x8C\x06latin1\x86R."),
     "b'a\xFF'"},
    {"empty bytes of protocol 2", P("c__builtin__\nbytes\n)R."), "b''"},
    {"bytearray", P("cbuiltins\nbytearray\nC\x01z\x85R."), "b'z'"},
    {"BINPERSID",
     P("(\x8C\x07storagect\nS\n\x8C\x01"
       "0\x8C\x03"
       "cpuK\x02tQ."),
     "storage('storage', t.S, '0', 'cpu', 2)"},
};
enum { ACCEPTED = sizeof accepted / sizeof accepted[0] };

#endif
