namespace EdgeStream.Storage.Time;

/// <summary>How far a record's timestamp can be trusted.</summary>
public enum TimeCertainty
{
    /// <summary>It is as it was stored: the clock behind it was not set, or was not this machine's.</summary>
    Unknown,

    /// <summary>It is as it was stored, and this machine's clock was right then.</summary>
    Right,

    /// <summary>The clock was set later in the same boot, and the timestamp is what it should have been.</summary>
    Corrected,
}

/// <summary>A timestamp, and what is known of it.</summary>
/// <param name="Timestamp">Milliseconds since 1970-01-01T00:00:00Z.</param>
/// <param name="Certainty">How far it can be trusted.</param>
public readonly record struct CorrectedTime(long Timestamp, TimeCertainty Certainty);
