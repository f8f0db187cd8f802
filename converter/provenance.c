/* provenance.c - where a file came from: names, sizes and digests of what was
 * read, and how. No time, host, user or path: the same input gives the same bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/convert.h"
#include "converter/input.h"
#include "format/cli/text.h"
#include "format/sha256.h"
#include "format/utf8.h"

#define KEY_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789_."

enum { PIECE = 8 << 20, MAX_OPTIONS = 12, USER_KEY = 100 };

typedef struct key_text {
    char text[48];
} key_text;

/* The files src.0, src.1 ... */
typedef struct listing {
    eet_conversion *c;
    eet_kv_builder *prov;
    int32_t number; /* the next */
} listing;

static eet_status hash_file(eet_source *source, int32_t index, uint8_t digest[32], eet_error *err) {
    const uint64_t size = eet_source_file_at(source, index)->bytes;
    eet_sha256 *hash = eet_sha256_create();
    uint8_t *piece = malloc(PIECE);
    int fd = -1;
    eet_status status = hash != NULL && piece != NULL
                            ? eet_source_file_open(source, index, &fd, err)
                            : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for hashing");

    for (uint64_t at = 0; status == EET_OK && at < size; at += PIECE) {
        const uint64_t bytes = size - at < PIECE ? size - at : PIECE;

        status = eet_read_at(fd, at, piece, bytes, err);
        if (status == EET_OK) {
            eet_sha256_add(hash, piece, bytes);
        }
    }
    if (status == EET_OK) {
        eet_sha256_finish(hash, digest);
    }
    free(piece);
    eet_sha256_free(hash);
    return status;
}

static eet_status hash_memory(const void *data, uint64_t bytes, uint8_t digest[32],
                              eet_error *err) {
    eet_sha256 *hash = eet_sha256_create();

    if (hash == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for hashing");
    }
    eet_sha256_add(hash, data, bytes);
    eet_sha256_finish(hash, digest);
    eet_sha256_free(hash);
    return EET_OK;
}

/* A file's name is any bytes, and text is UTF-8: what is not is shown as \xFF. */
static void set_name(eet_kv_builder *prov, const char *key, const char *name) {
    eet_shown shown;
    const uint64_t bytes = strlen(name);

    eet_kv_set_string(prov, key, 0,
                      eet_utf8_valid(name, bytes) ? name : eet_show(&shown, name, bytes));
}

/* The key of a file's property; in one buffer, for one call. */
static const char *file_key(key_text *key, int32_t number, const char *property) {
    (void)snprintf(key->text, sizeof key->text, "src.%d.%s", (int)number, property);
    return key->text;
}

/* The digest of a file, which is read once however often the provenance is made. */
static eet_status digest_of(const listing *l, eet_source *source, int32_t i, const uint8_t **digest,
                            eet_error *err) {
    eet_conversion *c = l->c;
    const size_t files =
        (size_t)eet_source_files(c->source) + EET_SENTENCE_FILES + EET_SENTENCE_DENSES + 1;

    if (c->digests == NULL) {
        c->digests = calloc(files, sizeof *c->digests);
    }
    if (c->digests == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for hashing");
    }
    eet_file_digest *kept = &c->digests[l->number];
    const eet_status status = kept->known ? EET_OK : hash_file(source, i, kept->sha256, err);

    kept->known = status == EET_OK;
    *digest = kept->sha256;
    return status;
}

/* An index is small, and is told apart by its digest as a configuration is. */
static eet_status add_file(const listing *l, eet_source *source, int32_t i, const char *name,
                           eet_error *err) {
    const eet_source_file *file = eet_source_file_at(source, i);
    const bool is_index = i == 0 && eet_source_files(source) > 1;
    eet_kv_builder *prov = l->prov;
    const uint8_t *digest = NULL;
    eet_hex_text hex;
    key_text key;

    set_name(prov, file_key(&key, l->number, "name"), name);
    eet_kv_set_string(prov, file_key(&key, l->number, "kind"), 0, file->kind);
    eet_kv_set_u64(prov, file_key(&key, l->number, "bytes"), 0, file->bytes);
    if (file->serialization_id != NULL) {
        eet_kv_set_string(prov, file_key(&key, l->number, "serialization_id"), 0,
                          file->serialization_id);
    }
    if (file->crcless) {
        eet_kv_set_bool(prov, file_key(&key, l->number, "crcless"), 0, true);
    }
    if (!l->c->options.hash_source && !is_index) {
        return EET_OK;
    }
    const eet_status status = digest_of(l, source, i, &digest, err);

    if (status == EET_OK) {
        eet_kv_set_string(prov, file_key(&key, l->number, "sha256"), 0,
                          eet_format_sha256(&hex, digest));
    }
    return status;
}

static eet_status add_weights(const eet_conversion *c, listing *l, eet_error *err) {
    eet_status status = EET_OK;

    for (int32_t i = 0; status == EET_OK && i < eet_source_files(c->source); i++) {
        status = add_file(l, c->source, i, eet_source_file_at(c->source, i)->name, err);
        l->number++;
    }
    return status;
}

/* A small file that was read: it is told apart by its digest. */
static void add_small(listing *l, const char *name, uint64_t bytes, const uint8_t digest[32]) {
    eet_hex_text hex;
    key_text key;

    set_name(l->prov, file_key(&key, l->number, "name"), name);
    eet_kv_set_string(l->prov, file_key(&key, l->number, "kind"), 0, "config");
    eet_kv_set_u64(l->prov, file_key(&key, l->number, "bytes"), 0, bytes);
    eet_kv_set_string(l->prov, file_key(&key, l->number, "sha256"), 0,
                      eet_format_sha256(&hex, digest));
    l->number++;
}

static eet_status add_config(const eet_conversion *c, listing *l, eet_error *err) {
    uint8_t digest[32];
    const eet_status status = hash_memory(c->config_text, c->config_bytes, digest, err);

    if (status == EET_OK) {
        add_small(l, eet_conversion_config_name(c), c->config_bytes, digest);
    }
    return status;
}

/* What was read for a sentence's head, by its path in the folder. */
static eet_status add_sentence(const eet_conversion *c, listing *l, eet_error *err) {
    eet_status status = EET_OK;

    for (int32_t i = 0; i < c->sentence.files; i++) {
        const eet_sentence_file *file = &c->sentence.file[i];

        add_small(l, file->name, file->bytes, file->sha256);
    }
    for (int32_t i = 0; status == EET_OK && i < c->sentence.denses; i++) {
        const eet_sentence_dense *dense = &c->sentence.dense[i];
        char *name = eet_path_join(dense->path, eet_source_file_at(dense->source, 0)->name);

        status = name != NULL
                     ? add_file(l, dense->source, 0, name, err)
                     : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for provenance");
        l->number++;
        free(name);
    }
    return status;
}

/* A digest of "tensor -> place" lines: two conversions with one map agree in it. */
static eet_status add_map(const eet_conversion *c, eet_kv_builder *prov, eet_error *err) {
    eet_sha256 *hash = eet_sha256_create();
    uint8_t digest[32];
    eet_hex_text hex;

    if (hash == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for hashing");
    }
    for (int32_t p = 0; p < c->plan.places; p++) {
        const eet_place *place = &c->plan.place[p];
        eet_place_name name;

        (void)eet_place_named(&name, place);
        for (int32_t k = 0; k < EET_MAX_PARTS; k++) {
            if (place->rule != NULL && place->tensor[k] >= 0) {
                const eet_source_tensor *t =
                    eet_source_at(eet_place_source(place, c->source), place->tensor[k]);

                eet_sha256_add(hash, t->name, t->name_bytes);
                eet_sha256_add(hash, " -> ", 4);
            }
        }
        eet_sha256_add(hash, name.text, strlen(name.text));
        eet_sha256_add(hash, "\n", 1);
    }
    eet_sha256_finish(hash, digest);
    eet_sha256_free(hash);
    eet_kv_set_string(prov, "map.sha256", 0, eet_format_sha256(&hex, digest));
    return EET_OK;
}

/* The options that change what is written, in one order. */
static eet_status add_options(const eet_conversion *c, eet_kv_builder *prov, eet_error *err) {
    const eet_convert_options *o = &c->options;
    char dtype[32];
    char arch[160];
    char *allow = NULL;
    const char *list[MAX_OPTIONS];
    uint32_t count = 0;

    if (o->emit.allow_nonfinite) {
        list[count++] = "allow-nonfinite";
    }
    if (o->allow_unused != NULL) {
        const size_t room = strlen(o->allow_unused) + 16;

        allow = malloc(room);
        if (allow == NULL) {
            return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for metadata");
        }
        (void)snprintf(allow, room, "allow-unused=%s", o->allow_unused);
        list[count++] = allow;
    }
    if (o->arch != NULL) {
        (void)snprintf(arch, sizeof arch, "arch=%s", o->arch);
        list[count++] = arch;
    }
    if (o->emit.clamp) {
        list[count++] = "clamp";
    }
    (void)snprintf(dtype, sizeof dtype, "dtype=%s",
                   o->emit.dtype == EET_DTYPE_NONE ? "keep" : eet_dtype_name(o->emit.dtype));
    list[count++] = dtype;
    if (o->no_sentence_head) {
        list[count++] = "no-sentence-head";
    }
    eet_kv_set_strings(prov, "conv.options", 0, list, count);
    free(allow);
    return EET_OK;
}

static eet_status add_metadata(const eet_conversion *c, eet_kv_builder *prov, eet_error *err) {
    for (int32_t i = 0; i < c->options.metadata_count; i++) {
        const char *text = c->options.metadata[i];
        const char *equal = strchr(text, '=');
        char key[USER_KEY + 8];

        if (equal == NULL || equal == text || equal - text > USER_KEY ||
            strspn(text, KEY_CHARACTERS) != (size_t)(equal - text)) {
            eet_shown shown;

            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "--metadata \"%s\" is not KEY=VALUE with a key of 1 to %d characters "
                            "a-z, 0-9, _ and .",
                            eet_show(&shown, text, strlen(text)), USER_KEY);
        }
        if (!eet_utf8_valid(equal + 1, strlen(equal + 1))) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "the value of --metadata \"%.*s\" is not UTF-8", (int)(equal - text),
                            text);
        }
        (void)snprintf(key, sizeof key, "user.%.*s", (int)(equal - text), text);
        eet_kv_set_string(prov, key, 0, equal + 1);
    }
    return EET_OK;
}

eet_status eet_conversion_provenance(eet_conversion *c, eet_kv_builder *prov, eet_error *err) {
    listing list = {c, prov, 0};
    eet_status status = add_weights(c, &list, err);

    if (status == EET_OK) {
        status = add_config(c, &list, err);
    }
    if (status == EET_OK) {
        status = add_sentence(c, &list, err);
    }
    if (status == EET_OK) {
        status = add_map(c, prov, err);
    }
    if (status == EET_OK) {
        status = add_metadata(c, prov, err);
    }
    if (status == EET_OK) {
        status = add_options(c, prov, err);
    }
    if (status == EET_OK) {
        eet_kv_set_string(prov, "conv.version", 0, EET_VERSION);
        eet_kv_set_u64(prov, "cast.nonfinite", 0, c->stats.nonfinite);
        eet_kv_set_u64(prov, "cast.clamped", 0, c->stats.overflowed);
        eet_kv_set_f64(prov, "cast.max_error", 0, c->stats.max_error);
    }
    return status;
}
