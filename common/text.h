/* Strangers' text on its way to people. */
#ifndef NQ_COMMON_TEXT_H
#define NQ_COMMON_TEXT_H

#include <stddef.h>

/*
 * Copies text so that it can go to a terminal: control characters (C0, DEL, C1), directional
 * overrides and bytes that are not UTF-8 become '?'. At most size-1 bytes, cut between characters.
 */
void nq_text_clean(const char *text, char *clean, size_t size);

/* Columns that clean UTF-8 text takes in this locale. */
int nq_text_columns(const char *text);

#endif
