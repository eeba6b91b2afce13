using System.Collections.Immutable;
using System.Text;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>Why a key does not count any more, though certificates of it are still valid.</summary>
public enum Withdrawal
{
    /// <summary>Its geo-location was shut out.</summary>
    Revoked,

    /// <summary>Its geo-location has joined again, with another key.</summary>
    Replaced,
}

/// <summary>
/// The keys that were revoked or replaced, in a file beside the CA's key: where the metadata is lost and rebuilt, those who were shut out
/// must not be let in again. A line a key: fingerprint, reason, geo-location. Safe from any thread.
/// </summary>
public sealed class WithdrawnKeys
{
    private const string FileName = "withdrawn";

    // A hundred bytes a line: so many keys that nobody has withdrawn them one by one.
    private const int MaxFileBytes = 64 * 1024 * 1024;

    private readonly string _path;
    private readonly Lock _lock = new();
    private volatile ImmutableSortedDictionary<string, (Withdrawal Reason, string GeoLocation)> _keys;

    private WithdrawnKeys(string path, ImmutableSortedDictionary<string, (Withdrawal, string)> keys) => (_path, _keys) = (path, keys);

    /// <summary>Those of a CA's directory. Lines that say nothing are passed over.</summary>
    /// <exception cref="IOException">The file cannot be read: who is shut out is then not known.</exception>
    public static WithdrawnKeys Open(string directory)
    {
        string path = Path.Combine(directory, FileName);
        var keys = ImmutableSortedDictionary.CreateBuilder<string, (Withdrawal, string)>(StringComparer.Ordinal);
        foreach (string line in Encoding.UTF8.GetString(SmallFile.TryRead(DiskFiles.Instance, path, MaxFileBytes) ?? []).Split('\n'))
        {
            if (line.Split(' ') is [{ Length: > 0 } fingerprint, var reason, var geoLocation] && Enum.TryParse(reason, ignoreCase: true, out Withdrawal known))
                keys[fingerprint] = (known, geoLocation);
        }

        return new WithdrawnKeys(path, keys.ToImmutable());
    }

    /// <summary>Null where the key counts.</summary>
    public Withdrawal? ReasonOf(string fingerprint) => _keys.TryGetValue(fingerprint, out (Withdrawal Reason, string) known) ? known.Reason : null;

    /// <summary>Durable on return. A key that is revoked stays so, though it is replaced later.</summary>
    /// <exception cref="IOException">It could not be written; nothing was changed.</exception>
    public void Add(string fingerprint, Withdrawal reason, string geoLocation)
    {
        lock (_lock)
        {
            if (ReasonOf(fingerprint) is { } known && known <= reason)
                return;

            Write(_keys.SetItem(fingerprint, (reason, geoLocation)));
        }
    }

    /// <summary>The key was let in anew. Durable on return.</summary>
    /// <exception cref="IOException">It could not be written; nothing was changed.</exception>
    public void Remove(string fingerprint)
    {
        lock (_lock)
        {
            if (_keys.ContainsKey(fingerprint))
                Write(_keys.Remove(fingerprint));
        }
    }

    private void Write(ImmutableSortedDictionary<string, (Withdrawal Reason, string GeoLocation)> keys)
    {
        var text = new StringBuilder();
        foreach ((string fingerprint, (Withdrawal reason, string geoLocation)) in keys)
            text.Append(fingerprint).Append(' ').Append(reason.ToString().ToLowerInvariant()).Append(' ').Append(geoLocation).Append('\n');

        SmallFile.Replace(DiskFiles.Instance, _path, Encoding.UTF8.GetBytes(text.ToString()));
        _keys = keys;
    }
}
