namespace EdgeStream.Storage.Log;

/// <content>What the contract says otherwise than the segment log does: here the disk answers at once, so everything completes synchronously.</content>
public sealed partial class PartitionLog
{
    public string? Problem => _failure?.Message ?? _fullReason ?? Damage;

    /// <summary>Stays until the next start, so that somebody sees it; the gaps stay for good.</summary>
    private string? Damage => DamageNoted || Recovery.LostRecords > 0
        ? "records could not be read any more; 'edgestream gaps' lists which, and the disk should be looked at"
        : null;

    IPartitionReader IPartitionLog.OpenReader(long offset) => OpenReader(offset);

    ValueTask<long> IPartitionLog.FindOffsetByTimeAsync(long timestamp, CancellationToken cancellationToken) => new(FindOffsetByTime(timestamp));

    ValueTask IPartitionLog.ChangeSettingsAsync(LogSettings settings)
    {
        Settings = settings;
        return ValueTask.CompletedTask;
    }

    ValueTask IPartitionLog.SaveSettingsAsync(IReadOnlyDictionary<string, string?> changes)
    {
        SaveSettings(changes);
        return ValueTask.CompletedTask;
    }
}
