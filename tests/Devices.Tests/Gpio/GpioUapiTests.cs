using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using EdgeStream.Devices.Gpio.Uapi;
using EdgeStream.Harness;

namespace EdgeStream.Devices.Tests.Gpio;

/// <summary>Numbers and layouts beside those that a C compiler takes from the kernel's own header.</summary>
public sealed class GpioUapiTests
{
    private const string Header = "/usr/include/linux/gpio.h";
    private const string Compiler = "/usr/bin/cc";

    [Fact]
    public async Task Numbers_and_layouts_are_those_of_the_kernels_header()
    {
        Assert.SkipUnless(File.Exists(Header), $"{Header} is missing (apt install linux-libc-dev)");
        Assert.SkipUnless(File.Exists(Compiler), $"{Compiler} is missing (apt install gcc)");
        (string C, ulong Ours)[] values =
        [
            ("GPIO_GET_CHIPINFO_IOCTL", GpioUapi.GetChipInfo),
            ("GPIO_V2_GET_LINEINFO_IOCTL", GpioUapi.GetLineInfo),
            ("GPIO_V2_GET_LINE_IOCTL", GpioUapi.GetLine),
            ("GPIO_V2_LINE_GET_VALUES_IOCTL", GpioUapi.GetLineValues),
            ("GPIO_V2_LINE_FLAG_USED", GpioUapi.FlagUsed),
            ("GPIO_V2_LINE_FLAG_ACTIVE_LOW", GpioUapi.FlagActiveLow),
            ("GPIO_V2_LINE_FLAG_INPUT", GpioUapi.FlagInput),
            ("GPIO_V2_LINE_FLAG_EDGE_RISING", GpioUapi.FlagEdgeRising),
            ("GPIO_V2_LINE_FLAG_EDGE_FALLING", GpioUapi.FlagEdgeFalling),
            ("GPIO_V2_LINE_FLAG_BIAS_PULL_UP", GpioUapi.FlagPullUp),
            ("GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN", GpioUapi.FlagPullDown),
            ("GPIO_V2_LINE_EVENT_RISING_EDGE", GpioUapi.RisingEdge),
            ("GPIO_V2_LINES_MAX * 16", GpioUapi.MaxEventBuffer),
            ("GPIO_MAX_NAME_SIZE", KernelText.Length),
            ("sizeof(struct gpiochip_info)", Size<GpioChipInformation>()),
            ("offsetof(struct gpiochip_info, label)", OffsetOf((ref GpioChipInformation s) => ref Unsafe.As<KernelText, byte>(ref s.Label))),
            ("offsetof(struct gpiochip_info, lines)", OffsetOf((ref GpioChipInformation s) => ref Unsafe.As<uint, byte>(ref s.Lines))),
            ("sizeof(struct gpio_v2_line_info)", Size<GpioLineInformation>()),
            ("offsetof(struct gpio_v2_line_info, consumer)", OffsetOf((ref GpioLineInformation s) => ref Unsafe.As<KernelText, byte>(ref s.Consumer))),
            ("offsetof(struct gpio_v2_line_info, offset)", OffsetOf((ref GpioLineInformation s) => ref Unsafe.As<uint, byte>(ref s.Offset))),
            ("offsetof(struct gpio_v2_line_info, flags)", OffsetOf((ref GpioLineInformation s) => ref Unsafe.As<ulong, byte>(ref s.Flags))),
            ("sizeof(struct gpio_v2_line_request)", Size<GpioLineRequest>()),
            ("offsetof(struct gpio_v2_line_request, consumer)", OffsetOf((ref GpioLineRequest s) => ref Unsafe.As<KernelText, byte>(ref s.Consumer))),
            ("offsetof(struct gpio_v2_line_request, config.flags)", OffsetOf((ref GpioLineRequest s) => ref Unsafe.As<ulong, byte>(ref s.Flags))),
            ("offsetof(struct gpio_v2_line_request, config.num_attrs)", OffsetOf((ref GpioLineRequest s) => ref Unsafe.As<uint, byte>(ref s.AttributeCount))),
            ("offsetof(struct gpio_v2_line_request, num_lines)", OffsetOf((ref GpioLineRequest s) => ref Unsafe.As<uint, byte>(ref s.LineCount))),
            ("offsetof(struct gpio_v2_line_request, event_buffer_size)", OffsetOf((ref GpioLineRequest s) => ref Unsafe.As<uint, byte>(ref s.EventBufferSize))),
            ("offsetof(struct gpio_v2_line_request, fd)", OffsetOf((ref GpioLineRequest s) => ref Unsafe.As<int, byte>(ref s.Fd))),
            ("sizeof(struct gpio_v2_line_values)", Size<GpioLineValues>()),
            ("offsetof(struct gpio_v2_line_values, mask)", OffsetOf((ref GpioLineValues s) => ref Unsafe.As<ulong, byte>(ref s.Mask))),
            ("sizeof(struct gpio_v2_line_event)", Size<GpioLineEvent>()),
            ("offsetof(struct gpio_v2_line_event, id)", OffsetOf((ref GpioLineEvent s) => ref Unsafe.As<uint, byte>(ref s.Id))),
            ("offsetof(struct gpio_v2_line_event, line_seqno)", OffsetOf((ref GpioLineEvent s) => ref Unsafe.As<uint, byte>(ref s.LineSequence))),
        ];

        string[] theirs = await CompileAndRunAsync(values.Select(value => value.C));

        Assert.Equal(
            theirs.Zip(values, (number, value) => $"{value.C} = {number}"),
            values.Select(value => string.Create(CultureInfo.InvariantCulture, $"{value.C} = {value.Ours}")));
    }

    private delegate ref byte Field<T>(ref T structure);

    private static ulong OffsetOf<T>(Field<T> field)
        where T : unmanaged
    {
        T structure = default;
        return (ulong)Unsafe.ByteOffset(ref Unsafe.As<T, byte>(ref structure), ref field(ref structure));
    }

    private static ulong Size<T>() => (ulong)Unsafe.SizeOf<T>();

    private static async Task<string[]> CompileAndRunAsync(IEnumerable<string> expressions)
    {
        using var directory = new TemporaryDirectory();
        string source = directory.At("numbers.c"), program = directory.At("numbers");
        string lines = string.Join('\n', expressions.Select(expression => $"printf(\"%llu\\n\", (unsigned long long)({expression}));"));
        await File.WriteAllTextAsync(
            source, $"#include <stddef.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <linux/gpio.h>\nint main(void) {{\n{lines}\nreturn 0; }}\n");
        await RunAsync(Compiler, "-o", program, source);
        return (await RunAsync(program)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = await process.StandardOutput.ReadToEndAsync(), error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, error);
        return output;
    }
}
