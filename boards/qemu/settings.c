#include "settings.h"

#include <string.h>

#include "semihosting.h"

#define PATH "state/settings"

static char text[512];
static size_t text_len;

void settings_read(void) {
    int file = host_open(PATH, HOST_READ);
    text_len = 0;
    if (file < 0) {
        return;
    }
    text_len = host_read(file, text, sizeof(text) - 1);
    host_close(file);
    for (size_t i = 0; i < text_len; i++) {
        if (text[i] == '\n') {
            text[i] = 0;
        }
    }
    text[text_len] = 0;
}

const char *setting(const char *name) {
    size_t n = strlen(name);
    for (size_t at = 0; at < text_len; at += strlen(text + at) + 1) {
        if (strncmp(text + at, name, n) == 0 && text[at + n] == '=') {
            return text + at + n + 1;
        }
    }
    return NULL;
}

uint32_t number(const char *digits) {
    uint32_t value = 0;
    while (*digits >= '0' && *digits <= '9') {
        value = value * 10 + (uint32_t)(*digits++ - '0'); // the emulator writes numbers below 2^31
    }
    return value;
}

uint32_t setting_number(const char *name, uint32_t otherwise) {
    const char *value = setting(name);
    return value != NULL ? number(value) : otherwise;
}
