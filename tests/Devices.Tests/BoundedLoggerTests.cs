using EdgeStream.Devices.Tests.Mqtt;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests;

public sealed class BoundedLoggerTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly LogLines<BoundedLoggerTests> _log = new();

    [Fact]
    public void Warnings_beyond_ten_a_minute_become_a_number()
    {
        var bounded = new BoundedLogger("meter", _time, _log);
        for (int i = 0; i < 3000; i++)
            bounded.LogWarning("no topic d-{Number}", i);

        bounded.LogError("is no warning");
        Assert.Equal(11, _log.All.Count);

        _time.Advance(TimeSpan.FromMinutes(1));
        bounded.LogWarning("one more");
        Assert.Equal(["meter: 2990 lines like the last ones were left out", "one more"], _log.All.Skip(11));
    }
}
