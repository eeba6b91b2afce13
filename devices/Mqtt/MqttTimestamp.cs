using System.Globalization;

namespace EdgeStream.Devices.Mqtt;

/// <summary>How a device writes the time.</summary>
public enum MqttTimestampFormat
{
    /// <summary>ISO 8601, or a number whose size tells its unit.</summary>
    Auto,

    /// <summary>Seconds since 1970, with or without a fraction.</summary>
    Seconds,

    Milliseconds,

    Microseconds,

    Nanoseconds,

    /// <summary>Without an offset it is UTC.</summary>
    Iso8601,
}

/// <summary>Reads the time that a device put into its message.</summary>
internal static class MqttTimestamp
{
    // From 1973 to 5138 a number of seconds is below the first bound, one of milliseconds between the two, and so on.
    private const decimal MaxSeconds = 1e11m;
    private const decimal MaxMilliseconds = 1e14m;
    private const decimal MaxMicroseconds = 1e17m;

    private static readonly decimal LastSecond = DateTimeOffset.MaxValue.ToUnixTimeSeconds();

    /// <summary>False where the text is no time, or one before 1970.</summary>
    public static bool TryParse(string text, MqttTimestampFormat format, out DateTimeOffset time)
    {
        time = default;
        bool isNumber = decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal number);
        if (isNumber && format != MqttTimestampFormat.Iso8601)
            return TryFromSeconds(number / UnitsPerSecond(format, number), out time);

        return format is MqttTimestampFormat.Auto or MqttTimestampFormat.Iso8601
            && text is [_, _, _, _, '-', _, _, '-', _, _, ..]
            && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out time)
            && time >= DateTimeOffset.UnixEpoch;
    }

    private static decimal UnitsPerSecond(MqttTimestampFormat format, decimal number) => format switch
    {
        MqttTimestampFormat.Seconds => 1,
        MqttTimestampFormat.Milliseconds => 1e3m,
        MqttTimestampFormat.Microseconds => 1e6m,
        MqttTimestampFormat.Nanoseconds => 1e9m,
        _ when number < MaxSeconds => 1,
        _ when number < MaxMilliseconds => 1e3m,
        _ when number < MaxMicroseconds => 1e6m,
        _ => 1e9m,
    };

    private static bool TryFromSeconds(decimal seconds, out DateTimeOffset time)
    {
        bool isInRange = seconds >= 0 && seconds < LastSecond;
        time = isInRange ? DateTimeOffset.UnixEpoch.AddTicks((long)(seconds * TimeSpan.TicksPerSecond)) : default;
        return isInRange;
    }
}
