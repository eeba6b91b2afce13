namespace EdgeStream.Agent.Checks;

/// <summary>How a check came out.</summary>
internal enum Verdict
{
    /// <summary>As it should be.</summary>
    Ok,

    /// <summary>A node starts and keeps what it gets, but something of it will not work yet.</summary>
    Warning,

    /// <summary>A node cannot start.</summary>
    Problem,
}

/// <summary>What a check has found.</summary>
/// <param name="Subject">What was looked at, in a word or two.</param>
/// <param name="Verdict">How it came out.</param>
/// <param name="Message">One line; where it is not <see cref="Verdict.Ok"/>, with what to do.</param>
internal sealed record Finding(string Subject, Verdict Verdict, string Message);
