# netq: `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.

SANITIZE ?= 0
ifeq ($(SANITIZE),1)
  BUILD    := build/sanitize
  OPTIMIZE := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
  FAST     := -O1
else
  BUILD    := build/release
  OPTIMIZE := -O2
  FAST     := -O3
endif

PREFIX  ?= /usr/local
DESTDIR ?=
CC      := gcc
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
           -Wmissing-prototypes -Wvla -Werror
CFLAGS  := -std=gnu11 -g $(OPTIMIZE) -ffp-contract=off -fno-math-errno -D_GNU_SOURCE -I. $(WARN)
comma   := ,
LDFLAGS := $(if $(filter 1,$(SANITIZE)),-fsanitize=address$(comma)undefined)

LIBS_COMMON := -ljansson -lcrypto -lz -lm -lpthread
LIBS_WORKER := -ldnnl -lgomp -llapacke -lopenblas -ljpeg -lpng -lzip $(LIBS_COMMON)
LIBS_SERVER := -luv -lsqlite3 -linih $(LIBS_COMMON)
LIBS_CLIENT := $(LIBS_COMMON)

# SIMD files carry their own target flags; everything else stays generic.
FLAGS_avx2       := -mavx2 -mfma $(FAST) -fno-tree-slp-vectorize
FLAGS_avxvnni    := $(FLAGS_avx2) -mavxvnni -fno-ivopts
FLAGS_avx512     := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma $(FAST) -fno-tree-slp-vectorize
FLAGS_avx512vbmi := $(FLAGS_avx512) -mavx512vbmi
FLAGS_avx512vnni := $(FLAGS_avx512) -mavx512vnni -fno-ivopts
FLAGS_amx        := $(FLAGS_avx512vnni) -mamx-tile -mamx-int8
FLAGS_kernels    := $(FAST) -fno-trapping-math
flags_of = $(FLAGS_$(lastword $(subst _, ,$(basename $(notdir $(1))))))

sources = $(filter-out %/main.c,$(wildcard $(1)/*.c $(1)/*/*.c))
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))

COMMON := $(call objects,$(call sources,common))
WORKER := $(call objects,$(call sources,worker))
SERVER := $(call objects,$(call sources,server)) $(BUILD)/schema.o
CLIENT := $(call objects,$(call sources,client))

PROGRAMS := $(patsubst %,$(BUILD)/%,netqd netq-worker netqctl)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
TOOLS    := $(patsubst tests/parity/%.c,$(BUILD)/tests/%,$(wildcard tests/parity/*.c)) \
            $(BUILD)/tests/checkkernels $(BUILD)/tests/checkresize
# In bench/ a file with a header belongs to all programs, every other one is a program.
BENCH_PARTS := $(patsubst %.h,%.c,$(wildcard bench/*.h))
BENCH       := $(patsubst %.c,$(BUILD)/%,$(filter-out $(BENCH_PARTS),$(wildcard bench/*.c)))

# V=1 shows the commands.
ifneq ($(V),1)
  quiet = @echo "  $(1) $@";
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all programs tests bench-programs deps deps-test deps-develop demo test test-long parity fuzz bench bench-distill accuracy install clean format lint help

all: deps
	@$(MAKE) --no-print-directory programs

programs: $(PROGRAMS)
tests: $(UNIT) $(FUZZ) $(TOOLS) $(BENCH)
bench-programs: $(BENCH) $(BUILD)/tests/crop_dump $(BUILD)/tests/run_ops

help:
	@sed -n 's/^#: //p' Makefile

#: make demo       install what is missing, build, run the main job on the embedded demo model
demo: deps
	@$(MAKE) --no-print-directory -j2 programs
	@BUILD=$(BUILD) tests/demo.sh

#: make test       build and run the tests (SANITIZE=1: under ASan and UBSan); under ten minutes
test: deps-test
	@$(MAKE) --no-print-directory -j2 programs tests
	@BUILD=$(BUILD) tests/run.sh test

#: make test-long  the tests that take longer
test-long: deps-test
	@$(MAKE) --no-print-directory -j2 programs tests
	@BUILD=$(BUILD) tests/run.sh long

#: make parity NETQ_SHARED=DIR [DATA=IMAGEFOLDER]   the whole comparison with PyTorch on real weights
parity: deps-test
	@$(MAKE) --no-print-directory -j2 programs tests
	@BUILD=$(BUILD) NETQ_SHARED="$(NETQ_SHARED)" DATA="$(DATA)" tests/parity/run.sh

#: make bench      netq beside oneDNN, PyTorch and onnxruntime: docs/bench.md (NETQ_SHARED=DIR or WEIGHTS=, IMAGES=;
#:                 NETWORKS="resnet18 ..." and PART="layers ..." for some of it; NETQ_ORT_PYTHON=PYTHON)
bench: deps-test
	@$(MAKE) --no-print-directory -j2 programs bench-programs
	@BUILD=$(BUILD) NETQ_SHARED="$(NETQ_SHARED)" WEIGHTS="$(WEIGHTS)" IMAGES="$(IMAGES)" \
	  NETQ_ORT_PYTHON="$(NETQ_ORT_PYTHON)" python3 bench/bench.py --networks "$(NETWORKS)" --parts "$(PART)"

#: make bench-distill NETQ_SHARED=DIR   a step of ZeroQ's synthesis beside PyTorch
bench-distill: deps-test
	@$(MAKE) --no-print-directory -j2 programs $(BUILD)/tests/distill_dump
	@BUILD=$(BUILD) NETQ_SHARED="$(NETQ_SHARED)" MODELS="$(MODELS)" THREADS="$(THREADS)" python3 bench/distill.py

#: make accuracy NETQ_SHARED=DIR DATA=IMAGEFOLDER [PRESETS= BITS= MODELS= CALIBRATE= LIMIT=]   what each method loses
accuracy: deps
	@$(MAKE) --no-print-directory -j2 programs
	@BUILD="$(BUILD)" NETQ_SHARED="$(NETQ_SHARED)" DATA="$(DATA)" PRESETS="$(PRESETS)" BITS="$(BITS)" MODELS="$(MODELS)" \
	  CALIBRATE="$(CALIBRATE)" LIMIT="$(LIMIT)" THREADS="$(THREADS)" bench/accuracy.py

#: make fuzz       libFuzzer on every parser, SECONDS=60 each (needs clang)
SECONDS ?= 60
fuzz: deps-develop
	@$(MAKE) --no-print-directory $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
	@tests/fuzz/run.sh build/fuzz $(SECONDS)

deps:
	@config/install-packages.sh build
deps-test:
	@config/install-packages.sh build test
deps-develop:
	@config/install-packages.sh build test develop

$(BUILD)/netqd: $(BUILD)/server/main.o $(SERVER) $(COMMON)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_SERVER)
$(BUILD)/netq-worker: $(BUILD)/worker/main.o $(WORKER) $(COMMON)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(BUILD)/netqctl: $(BUILD)/client/main.o $(CLIENT) $(COMMON)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CLIENT)

$(BUILD)/%.o: %.c
	@mkdir -p $(dir $@)
	$(call quiet,CC)$(CC) $(CFLAGS) $(call flags_of,$<) -MMD -MP -c -o $@ $<

$(BUILD)/schema.c: $(wildcard schema/*.sql) schema/embed.sh
	@mkdir -p $(dir $@)
	$(call quiet,EMBED)schema/embed.sh $(sort $(wildcard schema/*.sql)) > $@
$(BUILD)/schema.o: $(BUILD)/schema.c
	$(call quiet,CC)$(CC) $(CFLAGS) -c -o $@ $<

# Unit tests link everything but the mains of the side they test.
$(BUILD)/tests/test_server_%: $(BUILD)/tests/unit/test_server_%.o $(SERVER) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_SERVER)
$(BUILD)/tests/test_client_%: $(BUILD)/tests/unit/test_client_%.o $(CLIENT) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_CLIENT)
$(BUILD)/tests/test_%: $(BUILD)/tests/unit/test_%.o $(WORKER) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_WORKER)
$(BUILD)/tests/fuzz_server_%: $(BUILD)/tests/fuzz/fuzz_server_%.o $(BUILD)/tests/fuzz/replay.o $(SERVER) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_SERVER)
$(BUILD)/tests/fuzz_client_%: $(BUILD)/tests/fuzz/fuzz_client_%.o $(BUILD)/tests/fuzz/replay.o $(CLIENT) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CLIENT)
$(BUILD)/tests/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(WORKER) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(BUILD)/tests/%: $(BUILD)/tests/parity/%.o $(WORKER) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(BUILD)/tests/checkresize: $(BUILD)/tests/kernels/checkresize.o $(WORKER) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(BUILD)/tests/checkkernels: $(call objects,$(filter-out %/checkresize.c,$(wildcard tests/kernels/*.c))) $(WORKER) $(COMMON)
	@mkdir -p $(dir $@)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(BENCH): %: %.o $(call objects,$(BENCH_PARTS)) $(WORKER) $(COMMON)
	$(call quiet,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_WORKER)
$(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/unit/*.c tests/fuzz/*.c tests/parity/*.c tests/kernels/*.c)): \
    CFLAGS += -Wno-missing-prototypes
.SECONDARY:

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(call sources,common) $(call sources,worker) $(call sources,server) \
    $(call sources,client) $(BUILD)/schema.c
	@mkdir -p $(dir $@)
	$(call quiet,FUZZ)clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -ffp-contract=off -D_GNU_SOURCE -I. -w \
	  -mavx2 -mfma -o $@ $< $(call sources,common) \
	  $(if $(filter server_%,$*),$(call sources,server) $(BUILD)/schema.c $(LIBS_SERVER),\
	  $(if $(filter client_%,$*),$(call sources,client) $(LIBS_CLIENT),\
	  $(filter-out %_avx512.c %_avx512vbmi.c %_avx512vnni.c %_amx.c %_avxvnni.c,$(call sources,worker)) $(LIBS_WORKER)))

#: make install PREFIX=/usr/local DESTDIR=
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/netq $(DESTDIR)$(PREFIX)/share/netq
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 config/netqd.conf config/netqd.service $(DESTDIR)$(PREFIX)/share/netq
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 config/netqctl.bash-completion $(DESTDIR)$(PREFIX)/share/bash-completion/completions/netqctl
	install -m 644 README.md CHANGELOG.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/netq

#: make clean | make format | make lint
clean:
	rm -rf build
format: deps-develop
	clang-format -i $$(git ls-files '*.c' '*.h')
lint: deps-develop
	clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	  --suppress=missingIncludeSystem --suppress=varFuncNullUB --error-exitcode=1 -I. common server client worker

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
