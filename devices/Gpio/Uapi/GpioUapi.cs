using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace EdgeStream.Devices.Gpio.Uapi;

/// <summary>
/// The part of the kernel's GPIO interface (linux/gpio.h, version 2, since Linux 5.10) that is used here. A test compares numbers and
/// layouts with the header.
/// </summary>
internal static class GpioUapi
{
    public const uint GetChipInfo = 0x8044B401;
    public const uint GetLineInfo = 0xC100B405;
    public const uint GetLine = 0xC250B407;
    public const uint GetLineValues = 0xC010B40E;

    public const ulong FlagUsed = 1 << 0;
    public const ulong FlagActiveLow = 1 << 1;
    public const ulong FlagInput = 1 << 2;
    public const ulong FlagEdgeRising = 1 << 4;
    public const ulong FlagEdgeFalling = 1 << 5;
    public const ulong FlagPullUp = 1 << 8;
    public const ulong FlagPullDown = 1 << 9;

    public const uint RisingEdge = 1;

    /// <summary>The most events that the kernel keeps for a line until they are read.</summary>
    public const uint MaxEventBuffer = 1024;
}

/// <summary><c>struct gpiochip_info</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GpioChipInformation
{
    public KernelText Name;
    public KernelText Label;
    public uint Lines;
}

/// <summary><c>struct gpio_v2_line_info</c>; the attributes are left out by name, not by place.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GpioLineInformation
{
    public KernelText Name;
    public KernelText Consumer;
    public uint Offset;
    public uint AttributeCount;
    public ulong Flags;
    public Reserved160 Attributes;
    public Reserved16 Padding;
}

/// <summary><c>struct gpio_v2_line_request</c> for one line, with its <c>gpio_v2_line_config</c> inside.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GpioLineRequest
{
    public uint Offset;
    public Reserved252 FurtherOffsets;
    public KernelText Consumer;
    public ulong Flags;
    public uint AttributeCount;
    public Reserved20 ConfigPadding;
    public Reserved240 Attributes;
    public uint LineCount;
    public uint EventBufferSize;
    public Reserved20 Padding;
    public int Fd;
}

/// <summary><c>struct gpio_v2_line_values</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GpioLineValues
{
    public ulong Bits;
    public ulong Mask;
}

/// <summary><c>struct gpio_v2_line_event</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GpioLineEvent
{
    /// <summary>By CLOCK_MONOTONIC.</summary>
    public ulong TimestampNs;
    public uint Id;
    public uint Offset;
    public uint Sequence;

    /// <summary>Counted from 1 for each event of the line, also for those that the full buffer has lost.</summary>
    public uint LineSequence;
    public Reserved24 Padding;
}

[InlineArray(16)]
internal struct Reserved16
{
    private byte _first;
}

[InlineArray(20)]
internal struct Reserved20
{
    private byte _first;
}

[InlineArray(24)]
internal struct Reserved24
{
    private byte _first;
}

[InlineArray(160)]
internal struct Reserved160
{
    private byte _first;
}

[InlineArray(240)]
internal struct Reserved240
{
    private byte _first;
}

[InlineArray(252)]
internal struct Reserved252
{
    private byte _first;
}
