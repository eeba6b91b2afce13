using System.Globalization;

namespace EdgeStream.PowerCut.Tests;

/// <summary>Where random moments come from. The seed is printed; EDGESTREAM_SEED repeats one.</summary>
/// <remarks>It repeats what the test does. What the kernel and the scheduler do meanwhile is never quite the same.</remarks>
internal sealed class Seed
{
    private readonly int _value =
        int.TryParse(Environment.GetEnvironmentVariable("EDGESTREAM_SEED"), CultureInfo.InvariantCulture, out int given)
            ? given
            : System.Random.Shared.Next();

    public Seed()
    {
        Random = new Random(_value);
        Console.WriteLine(this);
    }

    public Random Random { get; }

    public override string ToString() => $"EDGESTREAM_SEED={_value}";
}
