using EdgeStream.Storage.Gaps;

namespace EdgeStream.Storage.Log;

/// <summary>One call to append, on its way through the writer and the syncer.</summary>
/// <param name="batches">Whole batches, one behind the other, already checked; unchanged until completion. None: seal the segment.</param>
/// <param name="offsetsGiven">The batches bring their offsets (a mirror) instead of getting the next ones.</param>
/// <param name="ack">Written or durable; the wait for the hub is the caller's.</param>
internal sealed class AppendRequest(ReadOnlyMemory<byte> batches, bool offsetsGiven, AckLevel ack)
{
    private readonly TaskCompletionSource<AppendedRange> _completion =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ReadOnlyMemory<byte> Batches => batches;

    public bool OffsetsGiven => offsetsGiven;

    /// <summary>A gap instead of batches: the offsets that are passed over.</summary>
    public Gap? Gap { get; init; }

    /// <summary>Whether this only asks for the active segment to be sealed.</summary>
    public bool IsRoll => batches.IsEmpty && Gap is null;

    public bool AwaitsSync => ack != AckLevel.Written;

    /// <summary>Set by the writer once offsets are assigned and the bytes are with the operating system.</summary>
    public AppendedRange Range { get; set; }

    public Task<AppendedRange> Completion => _completion.Task;

    public void Complete() => _completion.TrySetResult(Range);

    public void Fail(Exception failure) => _completion.TrySetException(failure);
}
