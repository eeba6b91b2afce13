using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Cluster.Engines;

/// <summary>
/// Puts a new log in the place of an old one, with some of its records at new offsets. The partition is closed meanwhile.
/// </summary>
/// <remarks>
/// Order: the new log is complete in <c>PARTITION.replacing</c> → that becomes <c>PARTITION.replacement</c> → the old one becomes
/// <c>PARTITION.replaced</c> → the new one takes its place → the old one goes. A power cut leaves the old log in its place, or the
/// complete new one beside the empty place, which <see cref="Complete"/> puts there.
/// </remarks>
internal sealed class LogReplacement(
    string directory, LogOptions options, IStorageFiles files, LogResources resources, LogCleaner cleaner)
{
    private const int ChunkBytes = 256 * 1024;

    private readonly string _building = directory + ".replacing";

    /// <summary>Finishes, or clears away, what a power cut has interrupted. Called before the partition is opened.</summary>
    public static void Complete(string directory, IStorageFiles files)
    {
        string built = directory + ".replacement";
        if (!files.DirectoryExists(directory) && files.DirectoryExists(built))
        {
            Directory.Move(built, directory);
            files.SyncDirectory(Path.GetDirectoryName(directory)!);
        }

        foreach (string leftover in (string[])[directory + ".replacing", built, directory + ".replaced"])
        {
            if (files.DirectoryExists(leftover))
                files.DeleteDirectory(leftover);
        }
    }

    /// <param name="manifest">Of the new log.</param>
    /// <param name="settings">Of both.</param>
    /// <param name="carryFrom">What the old log holds from here on is appended to the new one.</param>
    public async Task RunAsync(PartitionManifest manifest, LogSettings settings, long carryFrom)
    {
        Complete(directory, files);
        try
        {
            PartitionLog.Create(_building, manifest, files);
            await CarryAsync(manifest, settings, carryFrom).ConfigureAwait(false);
        }
        catch
        {
            Complete(directory, files);
            throw;
        }

        string parent = Path.GetDirectoryName(directory)!;
        Directory.Move(_building, directory + ".replacement");
        files.SyncDirectory(parent);
        Directory.Move(directory, directory + ".replaced");
        files.SyncDirectory(parent);
        Complete(directory, files);
    }

    private async Task CarryAsync(PartitionManifest manifest, LogSettings settings, long carryFrom)
    {
        await using PartitionLog source = PartitionLog.Open(directory, () => manifest, options, files, settings, resources);
        await using PartitionLog target = PartitionLog.Open(_building, () => manifest, options, files, settings, resources);

        // What lies before is at the hub: it may go where there is no room for both.
        source.SetMirrored(carryFrom);
        cleaner.Add(source);
        try
        {
            long end = source.Offsets.Durable;
            using LogReader reader = source.OpenReader(Math.Clamp(carryFrom, source.StartOffset, end));
            while (true)
            {
                using LogSlice slice = reader.Read(ChunkBytes, end);
                if (slice.IsEmpty)
                    return;

                await target.AppendAsync(slice.Batches, AckLevel.Durable).ConfigureAwait(false);
            }
        }
        finally
        {
            cleaner.Remove(source);
        }
    }
}
