namespace EdgeStream.Devices.Mqtt;

/// <summary>Room for messages on their way, by number and by size: a large one takes the place of several.</summary>
/// <param name="count">How many there are.</param>
internal sealed class MqttPlaces(int count) : IDisposable
{
    private const int BytesPerPlace = 64 * 1024;

    private readonly SemaphoreSlim _free = new(count);

    /// <summary>Waits for room. To be called by one reader only: two could each hold half of what both need.</summary>
    public async ValueTask TakeAsync(long bytes, CancellationToken cancellationToken)
    {
        for (int left = PlacesOf(bytes); left > 0; left--)
            await _free.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Gives back what <see cref="TakeAsync"/> has taken for as many bytes.</summary>
    public void Return(long bytes) => _free.Release(PlacesOf(bytes));

    public void Dispose() => _free.Dispose();

    // One that is larger than all the room there is comes in when nothing else is there.
    private int PlacesOf(long bytes) => (int)Math.Min(count, 1 + (bytes / BytesPerPlace));
}
