/* One value of a job spec: as text, as JSON, in the struct. For spec.c only. */
#ifndef NQ_COMMON_SPEC_VALUE_H
#define NQ_COMMON_SPEC_VALUE_H

#include "common/spec.h"

/* The JSON value that a flag's text means; the caller owns it. Its range is not checked. */
nq_status nq_spec_value_of_text(const nq_spec_field *field, const char *text, json_t **value,
                                nq_error *err);

/* Checks a value completely and puts it into the struct. */
nq_status nq_spec_take(const nq_spec_field *field, const json_t *value, nq_spec *spec,
                       nq_error *err);

/* The struct's value as JSON, the caller's; NULL when out of memory. */
json_t *nq_spec_value(const nq_spec_field *field, const nq_spec *spec);

#endif
