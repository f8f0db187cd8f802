/* magic.c - knows files by their first bytes, and archives by their members. */
#include "converter/magic.h"

#include <string.h>
#include <strings.h>

#include "converter/foreign.h"
#include "converter/input.h"
#include "format/checked.h"

enum { HEAD = 2056, SHORTEST = 22 };

typedef struct known {
    uint16_t at;
    uint16_t bytes;
    const char *magic;
    const char *what; /* completes "this is ..." */
} known;

#define UNPACK "; unpack it first"
#define SIGN(at, magic, what) \
    { at, sizeof magic - 1, magic, what }

/* Longer signs stand before shorter ones that they begin with. */
static const known table[] = {
    SIGN(0, "version https://git-lfs.github.com/spec/",
         "a git-lfs pointer, not the file itself; run \"git lfs pull\""),
    SIGN(0, "\x1F\x8B", "compressed by gzip" UNPACK),
    SIGN(0, "BZh", "compressed by bzip2" UNPACK),
    SIGN(0,
         "\xFD"
         "7zXZ",
         "compressed by xz" UNPACK),
    SIGN(0, "\x28\xB5\x2F\xFD", "compressed by zstd" UNPACK),
    SIGN(0, "7z\xBC\xAF\x27\x1C", "a 7z archive" UNPACK),
    SIGN(0, "Rar!\x1A\x07", "a rar archive" UNPACK),
    SIGN(0, "PYTORCH1",
         "an archive of a PyTorch preview of 2018; save it again with a newer torch"),
    SIGN(257, "ustar", "a tar archive" UNPACK),
    SIGN(0, "GGUF", EET_FOREIGN_GGUF),
    SIGN(0, "lmgg", EET_FOREIGN_GGUF), /* and the formats before it: ggml, ggmf, ggjt, ggla */
    SIGN(0, "fmgg", EET_FOREIGN_GGUF),
    SIGN(0, "tjgg", EET_FOREIGN_GGUF),
    SIGN(0, "algg", EET_FOREIGN_GGUF),
    SIGN(0, "ftrt", "an engine of TensorRT" EET_FOREIGN_FIRST),
    SIGN(0,
         "\x89"
         "EET",
         "a .eet file; it is converted already"),
    SIGN(0, "\x93NUMPY", "a numpy array; give the checkpoint"),
    SIGN(0,
         "\x7F"
         "ELF",
         "a program (ELF)"),
    SIGN(0, "MZ", "a program of Windows"),
    SIGN(0, "L119547037146038801333356L\n.",
         "a checkpoint of torch before 1.6 by a pickle of protocol 0 or 1; load it and save it "
         "again with protocol 2"),
    SIGN(4, "TFL3", EET_FOREIGN_LITE),
};

/* HDF5 may stand behind a block of the user's: at 512 bytes, 1024, 2048 ... */
static bool is_h5(const uint8_t *head) {
    static const char sign[] = "\x89HDF\r\n\x1A\n";
    bool found = memcmp(head, sign, sizeof sign - 1) == 0;

    for (size_t at = 512; !found && at + sizeof sign - 1 <= HEAD; at *= 2) {
        found = memcmp(head + at, sign, sizeof sign - 1) == 0;
    }
    return found;
}

/* A first pickle that is an integer of ten bytes alone: torch's magic number, or what a
 * damaged file has in its place. */
static bool is_torch_stream(const uint8_t *head) {
    enum { PROTO = 0x80, FRAME = 0x95, FRAME_BYTES = 9, LONG1 = 0x8A, NUMBER_BYTES = 10 };
    const uint8_t *at = head + 2;

    if (head[0] != PROTO || head[1] < 2 || head[1] > 5) {
        return false;
    }
    at += *at == FRAME ? FRAME_BYTES : 0;
    return at[0] == LONG1 && at[1] == NUMBER_BYTES && at[2 + NUMBER_BYTES] == '.';
}

/* The members of a checkpoint of before torch 0.1.10. */
static bool is_torch_tar(const uint8_t *head) {
    static const char *const members[] = {"sys_info", "pickle", "tensors", "storages"};

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (strcmp((const char *)head, members[i]) == 0) {
            return memcmp(head + 257, "ustar", 5) == 0;
        }
    }
    return false;
}

static bool begins(const char *text, const char *word) {
    return strncasecmp(text, word, strlen(word)) == 0;
}

/* An object whose first member is one of an index's two, or that has the map early. */
static bool is_index(const uint8_t *head) {
    const char *text = (const char *)head;

    text += strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    text += strspn(text, " \t\r\n");
    if (*text != '{') {
        return false;
    }
    const char *key = text + 1 + strspn(text + 1, " \t\r\n");

    return begins(key, "\"metadata\"") || strstr(text, "\"weight_map\"") != NULL;
}

/* Text that a server sent instead of the file. */
static const char *text_name(const uint8_t *head) {
    const char *text = (const char *)head;

    text += strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    text += strspn(text, " \t\r\n");
    if (begins(text, "<!doctype") || begins(text, "<html") || begins(text, "<?xml") ||
        begins(text, "<head")) {
        return "a page of HTML, so the download failed; look into the file and fetch it again";
    }
    if (*text == '{' && strstr(text, "\"architectures\"") != NULL) {
        return "a configuration, not the weights; give the folder it lies in";
    }
    if (*text == '{' && text[1 + strspn(text + 1, " \t\r\n")] == '"') {
        return "JSON text, perhaps a server's error message; look into the file and fetch it again";
    }
    if (begins(text, "entry not found") || begins(text, "not found") ||
        begins(text, "access denied") || begins(text, "invalid username")) {
        return "a server's error message; fetch it again";
    }
    return NULL;
}

/* ONNX has no magic: field 1 (ir_version), then field 2 or 7 or a short producer name. In a
 * SavedModel field 1 is the version of its schema, 1, and field 2 the graph. */
static const char *protobuf_name(const uint8_t *head) {
    if (head[0] != 0x08 || head[1] == 0 || head[1] >= 32) {
        return NULL;
    }
    if (head[1] == 1 && head[2] == 0x12) {
        return EET_FOREIGN_SAVED;
    }
    return head[2] == 0x12 || head[2] == 0x3A || head[2] == 0x42 || head[2] == 0x1A
               ? EET_FOREIGN_ONNX
               : NULL;
}

static bool is_plain_text(const uint8_t *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return false;
        }
    }
    return bytes > 0;
}

/* A map in msgpack, which is not empty, and the text of its first key. */
static bool is_msgpack(const uint8_t *head) {
    enum { MAP = 0x80, MAP16 = 0xDE, MAP32 = 0xDF, TEXT = 0xA0, TEXT8 = 0xD9 };
    const uint8_t *at = head + 1;

    if (head[0] == MAP16 || head[0] == MAP32) {
        at += head[0] == MAP16 ? 2 : 4;
    } else if (head[0] <= MAP || head[0] > (MAP | 0x0F)) {
        return false;
    }
    return (*at & 0xE0) == TEXT ? is_plain_text(at + 1, *at & 0x1F)
                                : *at == TEXT8 && is_plain_text(at + 2, at[1]);
}

/* CTranslate2: a version, and the name of the model's kind with its length. */
static bool is_ct2(const uint8_t *head) {
    enum { NEWEST = 32, AT = 6 };
    const size_t bytes = head[4] | (size_t)head[5] << 8;

    return head[0] > 0 && head[0] < NEWEST && head[1] == 0 && head[2] == 0 && head[3] == 0 &&
           bytes > 4 && bytes < 128 && head[AT + bytes - 1] == '\0' &&
           is_plain_text(head + AT, bytes - 1);
}

/* A tar of model_config.yaml and model_weights.ckpt, perhaps behind its folder. */
static bool is_nemo(const uint8_t *head) {
    enum { BLOCK = 512 };

    if (memcmp(head + 257, "ustar", 5) != 0) {
        return false;
    }
    const char *name = (const char *)head + (strcmp((const char *)head, "./") == 0 ? BLOCK : 0);

    name += strncmp(name, "./", 2) == 0 ? 2 : 0;
    return strcmp(name, "model_config.yaml") == 0 || strcmp(name, "model_weights.ckpt") == 0 ||
           strcmp(name, "model_weights/") == 0;
}

static const char *foreign_name(const uint8_t *head, uint64_t have) {
    if (is_torch_tar(head)) {
        return "a checkpoint of torch 0.1.9 or older; load it and save it again with a newer torch";
    }
    if (is_nemo(head)) {
        return EET_FOREIGN_NEMO;
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (eet_within_u64(table[i].at, table[i].bytes, have) &&
            memcmp(head + table[i].at, table[i].magic, table[i].bytes) == 0) {
            return table[i].what;
        }
    }
    if (head[0] == 0x80 && head[1] <= 5) {
        return "a bare pickle, not a checkpoint; save the state dict with torch.save";
    }
    if (is_msgpack(head) || is_ct2(head)) {
        return is_ct2(head) ? EET_FOREIGN_CT2 : EET_FOREIGN_FLAX;
    }
    const char *what = protobuf_name(head);

    return what != NULL ? what : text_name(head);
}

/* The table of names and places of a checkpoint of TensorFlow ends like LevelDB's. */
static eet_status check_tf_index(int fd, uint64_t bytes, eet_error *err) {
    static const char sign[] = "\x57\xFB\x80\x8B\x24\x75\x47\xDB";
    enum { SIGN_BYTES = sizeof sign - 1, FOOTER = 48 };
    uint8_t tail[SIGN_BYTES] = {0};
    const eet_status status =
        bytes < FOOTER ? EET_OK : eet_read_at(fd, bytes - SIGN_BYTES, tail, SIGN_BYTES, err);

    return status == EET_OK && memcmp(tail, sign, SIGN_BYTES) == 0
               ? eet_fail(err, EET_E_UNSUPPORTED, bytes - SIGN_BYTES, "this is " EET_FOREIGN_TF1)
               : status;
}

/* The length of a header, then its brace; `surely`: the header fits the file too. */
static bool is_safetensors(const uint8_t *head, uint64_t bytes, bool surely) {
    uint64_t header = 0;

    for (int i = 7; i >= 0; i--) {
        header = header << 8 | head[i];
    }
    const bool fits = bytes >= 10 && header >= 2 && header <= bytes - 8;

    return surely ? fits && head[8] == '{'
                  : head[8] == '{' || (fits && strchr(" \t\r\n", head[8]) != NULL);
}

/* What is not read; but a safetensors whose header is wrong is left to its reader. */
static eet_status refuse_others(int fd, const uint8_t *head, uint64_t bytes, eet_magic *out,
                                eet_error *err) {
    const char *foreign = foreign_name(head, bytes < HEAD ? bytes : HEAD);

    if (foreign != NULL) {
        return eet_fail(err, EET_E_UNSUPPORTED, 0, "this is %s", foreign);
    }
    const eet_status status = check_tf_index(fd, bytes, err);

    if (status != EET_OK) {
        return status;
    }
    if (bytes < SHORTEST) {
        return eet_fail(err, EET_E_CORRUPT, bytes, "%llu bytes are too short for a checkpoint",
                        (unsigned long long)bytes);
    }
    if (memcmp(head, "PK\5\6", 4) == 0) {
        return eet_fail(err, EET_E_CORRUPT, 0, "an empty zip archive");
    }
    if (is_safetensors(head, bytes, false)) {
        *out = EET_MAGIC_SAFETENSORS;
        return EET_OK;
    }
    return eet_fail(err, EET_E_CORRUPT, 0,
                    "no checkpoint: neither of torch.save nor safetensors nor HDF5");
}

eet_status eet_magic_of(int fd, uint64_t bytes, eet_magic *out, eet_error *err) {
    uint8_t head[HEAD + 1] = {0};
    const uint64_t have = bytes < HEAD ? bytes : HEAD;
    const eet_status status = eet_read_at(fd, 0, head, have, err);

    if (status != EET_OK) {
        return status;
    }
    /* Before the others: a length of a header may look like another file's sign. */
    if (memcmp(head, "PK\3\4", 4) == 0 || is_safetensors(head, bytes, true)) {
        *out = memcmp(head, "PK\3\4", 4) == 0 ? EET_MAGIC_ZIP : EET_MAGIC_SAFETENSORS;
        return EET_OK;
    }
    if (is_torch_stream(head) || is_h5(head)) {
        *out = is_h5(head) ? EET_MAGIC_H5 : EET_MAGIC_TORCH_STREAM;
        return EET_OK;
    }
    if (is_index(head)) {
        *out = EET_MAGIC_INDEX;
        return EET_OK;
    }
    return refuse_others(fd, head, bytes, out, err);
}

static bool ends_with(const char *name, const char *end) {
    const size_t length = strlen(name);

    return length >= strlen(end) && strcmp(name + length - strlen(end), end) == 0;
}

/* Is the member `below` its archive's one folder? */
static bool is_below(const char *name, const char *below) {
    const char *slash = strchr(name, '/');

    return slash != NULL && strcmp(slash + 1, below) == 0;
}

static const char *member_name(const char *name) {
    static const struct {
        const char *member;
        bool below; /* the archive's folder; else at the top */
        const char *what;
    } members[] = {
        {"constants.pkl", true,
         "a TorchScript program (as a .ot of rust-bert is), not a checkpoint; export its "
         "state_dict"},
        {".data/extern_modules", true,
         "a torch.package archive, not a checkpoint; export its state_dict"},
        {"config.json", false, "an archive of Keras; give the checkpoint it was made from"},
        {"MAR-INF/MANIFEST.json", false, "a model archive of TorchServe; unpack it first"},
        {"saved_model.pb", false, EET_FOREIGN_SAVED},
        {"[Content_Types].xml", false, "an Office document"},
        {"META-INF/MANIFEST.MF", false, "a Java archive"},
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (members[i].below ? is_below(name, members[i].member)
                             : strcmp(name, members[i].member) == 0) {
            return members[i].what;
        }
    }
    if (strchr(name, '/') == NULL && ends_with(name, ".npy")) {
        return "a numpy archive (.npz); give the checkpoint";
    }
    if (ends_with(name, "pytorch_model.bin") || ends_with(name, "model.safetensors")) {
        return "a zip archive with a checkpoint in it; unpack it first";
    }
    return NULL;
}

eet_status eet_archive_check_kind(const eet_archive *archive, eet_error *err) {
    bool has_pickle = false;

    for (int64_t i = 0; i < eet_archive_count(archive); i++) {
        const char *name = eet_archive_at(archive, i)->name;
        const char *what = member_name(name);

        if (what != NULL) {
            return eet_fail(err, EET_E_UNSUPPORTED, 0, "this is %s", what);
        }
        has_pickle = has_pickle || is_below(name, "data.pkl");
    }
    if (!has_pickle) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the zip archive is no checkpoint of torch.save: it has no data.pkl");
    }
    return EET_OK;
}
