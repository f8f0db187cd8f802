/* report.h - what eet-convert says at its end, for people and for programs. */
#ifndef EET_CONVERTER_REPORT_H
#define EET_CONVERTER_REPORT_H

#include "converter/convert.h"

typedef struct eet_report {
    const eet_conversion *conversion;
    const eet_writer *writer; /* committed, or only planned */
    const char *target;
    bool dry_run;
} eet_report;

/* Lines on standard output; the last has size, digest and the next command. */
eet_status eet_report_text(const eet_report *report, eet_error *err);
/* One document on standard output. */
eet_status eet_report_json(const eet_report *report, eet_error *err);
/* The list of supported models, from the families' tables. */
eet_status eet_report_models(bool json, eet_error *err);

#endif
