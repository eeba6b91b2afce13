using System.Runtime.CompilerServices;
using System.Text;

namespace EdgeStream.Devices.Gpio.Uapi;

/// <summary>A name as the kernel's GPIO structures hold it: 32 bytes, ended by a zero where it is shorter.</summary>
[InlineArray(Length)]
internal struct KernelText
{
    public const int Length = 32;

    private byte _first;

    public static KernelText From(string text)
    {
        var result = default(KernelText);
        Encoding.UTF8.GetBytes(text, ((Span<byte>)result)[..^1]);
        return result;
    }

    public override readonly string ToString()
    {
        ReadOnlySpan<byte> bytes = this;
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }
}
