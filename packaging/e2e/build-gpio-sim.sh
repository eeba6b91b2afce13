#!/usr/bin/env bash
# Builds the kernel's simulated GPIO chip for the kernel in a folder that fetch-kernel.sh filled: build-gpio-sim.sh FOLDER.
# Debian leaves it out, and with it the simulated interrupts (irq_sim), which are linked in here.
set -euo pipefail
folder=$(realpath "$1")
release=$(cat "$folder/release")
headers=$folder/build/usr/src/linux-headers-$release
work=$folder/gpio-sim
rm -rf "$work"
mkdir "$work"

# The headers name each other by where the package would have put them.
grep -q "$folder" "$headers/Makefile" || sed -i "s|/usr/src/|$folder/build/usr/src/|g" "$headers/Makefile"

cp "$folder/source/drivers/gpio/gpio-sim.c" "$work/gpio_sim_core.c"
cp "$folder/source/drivers/gpio/gpiolib.h" "$folder/source/kernel/irq/irq_sim.c" "$work/"
# Not for others to use, and irq_to_desc is not for modules.
sed -i -e '/^EXPORT_SYMBOL/d' -e 's/irq_to_desc(\([a-z]*\))/irq_data_to_desc(irq_get_irq_data(\1))/' "$work/irq_sim.c"
printf 'obj-m := gpio-sim.o\ngpio-sim-objs := gpio_sim_core.o irq_sim.o\n' >"$work/Makefile"
make -s -C "$headers" M="$work" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- CC=aarch64-linux-gnu-gcc-12 modules
aarch64-linux-gnu-strip --strip-debug "$work/gpio-sim.ko"
mv "$work/gpio-sim.ko" "$folder/gpio-sim.ko"
