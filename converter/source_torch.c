/* source_torch.c - a checkpoint of torch.save (1.6 and later): a zip archive. */
#include <stdlib.h>

#include "converter/magic.h"
#include "converter/torch_internal.h"

static eet_status read_pickle(eet_source *source, eet_error *err) {
    eet_torch *torch = source->state;
    eet_pickle *pickle = NULL;
    void *data = NULL;
    uint64_t bytes = 0;
    eet_status status = eet_torch_read_pickle(torch, &data, &bytes, err);

    if (status == EET_OK) {
        status = eet_pickle_read(data, bytes, NULL, &pickle, err);
    }
    if (status == EET_OK) {
        status = eet_torch_list(source, pickle, err);
    }
    eet_pickle_free(pickle);
    free(data);
    return status;
}

static eet_status torch_open(eet_source *source, eet_error *err) {
    eet_torch *torch = calloc(1, sizeof *torch);

    source->state = torch;
    if (torch == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a checkpoint");
    }
    torch->box = &eet_torch_archive;
    eet_status status = eet_archive_open(source->fd, source->bytes, &torch->archive, err);

    if (status == EET_OK) {
        status = eet_archive_check_kind(torch->archive, err);
    }
    if (status == EET_OK) {
        status = eet_torch_check_entries(torch, source, err);
    }
    return status == EET_OK ? read_pickle(source, err) : status;
}

void eet_torch_close(eet_source *source) {
    eet_torch *torch = source->state;

    if (torch == NULL) {
        return;
    }
    eet_archive_close(torch->archive);
    free(torch->prefix);
    free(torch->storage);
    free(torch->slot);
    free(torch);
    source->state = NULL;
}

static eet_status torch_use(eet_source *source, eet_error *err) {
    const eet_torch *torch = source->state;

    return torch != NULL && torch->archive != NULL
               ? eet_archive_use(torch->archive, source->fd, err)
               : EET_OK;
}

const eet_source_reader eet_source_reader_torch = {
    .kind = "torch_zip",
    .open = torch_open,
    .close = eet_torch_close,
    .storage_bytes = eet_torch_storage_bytes,
    .storage_read = eet_torch_record_read,
    .use = torch_use,
};
