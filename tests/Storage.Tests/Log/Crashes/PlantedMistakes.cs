using EdgeStream.Storage.Files;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>Mistakes that the harness has to find, each planted between the log and its disk.</summary>
internal static class PlantedMistakes
{
    public static IStorageFiles NeverSyncs(IStorageFiles files) => new WithoutSync(files);

    public static IStorageFiles NeverSyncsDirectories(IStorageFiles files) => new WithoutDirectorySync(files);

    public static IStorageFiles SyncsDirectoriesTooLate(IStorageFiles files) => new LateDirectorySync(files);

    public static IStorageFiles SyncsTheWrongFile(IStorageFiles files) => new MisplacedSync(files);

    public static IStorageFiles TakesFailedSyncsForGood(IStorageFiles files) => new DeafSync(files);

    public static IStorageFiles RenamesByCopy(IStorageFiles files) => new CopyingRename(files);

    private sealed class WithoutSync(IStorageFiles inner) : ForwardingFiles(inner)
    {
        protected override void SyncData(ILogFile file)
        {
        }
    }

    private sealed class WithoutDirectorySync(IStorageFiles inner) : ForwardingFiles(inner)
    {
        public override void SyncDirectory(string path)
        {
        }
    }

    /// <summary>The order of "sync the directory" and "sync what is in the new file" is swapped.</summary>
    private sealed class LateDirectorySync(IStorageFiles inner) : ForwardingFiles(inner)
    {
        // So many that what was written into the new file has been acknowledged by then.
        private const int SyncsInBetween = 6;

        private readonly Lock _lock = new();
        private readonly Queue<(string Directory, int DueAt)> _due = new();
        private int _syncs;

        public override void SyncDirectory(string path)
        {
            lock (_lock)
                _due.Enqueue((path, _syncs + SyncsInBetween));
        }

        protected override void SyncData(ILogFile file)
        {
            file.SyncData();
            lock (_lock)
            {
                _syncs++;
                while (_due.TryPeek(out (string Directory, int DueAt) next) && next.DueAt <= _syncs)
                    Inner.SyncDirectory(_due.Dequeue().Directory);
            }
        }
    }

    private sealed class MisplacedSync(IStorageFiles inner) : ForwardingFiles(inner)
    {
        private ILogFile? _last;

        protected override void SyncData(ILogFile file)
        {
            ILogFile last = Interlocked.Exchange(ref _last, file) ?? file;
            try
            {
                last.SyncData();
            }
            catch (ObjectDisposedException)
            {
                // Closed meanwhile: then nothing is synced at all.
            }
        }
    }

    private sealed class DeafSync(IStorageFiles inner) : ForwardingFiles(inner)
    {
        protected override void SyncData(ILogFile file)
        {
            try
            {
                file.SyncData();
            }
            catch (IOException)
            {
                // The mistake: as .NET's own flush did it.
            }
        }
    }

    /// <summary>The target is emptied and filled again, so there is an instant at which neither contents are there.</summary>
    private sealed class CopyingRename(IStorageFiles inner) : ForwardingFiles(inner)
    {
        public override void Rename(string from, string to)
        {
            using (ILogFile source = Inner.OpenForReading(from))
            {
                byte[] contents = new byte[source.Length];
                source.Read(contents, 0);
                Inner.Delete(to);
                using ILogFile target = Inner.Create(to);
                target.Write([contents], 0);
            }

            Inner.Delete(from);
        }
    }
}
