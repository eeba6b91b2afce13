namespace EdgeStream.Devices.Sysfs;

/// <summary>Decides which of a file's values are worth a record. Pure: the caller brings the time, of a monotonic clock.</summary>
/// <param name="change">By how much a value must differ from the last that was recorded; null for all.</param>
/// <param name="atLeastEvery">How old that one may be; null for any age.</param>
internal sealed class ChangeFilter(decimal? change, TimeSpan? atLeastEvery)
{
    private (decimal Value, TimeSpan At)? _recorded;

    public bool Passes(decimal value, TimeSpan now) =>
        change is null
        || _recorded is not { } last
        || Math.Abs(value - last.Value) >= change
        || now - last.At >= atLeastEvery;

    /// <summary>This value stands in a record.</summary>
    public void Recorded(decimal value, TimeSpan now) => _recorded = (value, now);
}
