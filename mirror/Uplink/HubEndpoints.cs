using System.Text;
using EdgeStream.Cluster;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Where this edge's hub can be asked: the addresses that it was joined under, and those that the hub has told since, kept in a file beside
/// the identity. So a cluster may change one by one all the machines that an edge knows. For one caller at a time.
/// </summary>
internal sealed class HubEndpoints
{
    private const string FileName = "hub-endpoints";

    // Far more than a cluster has; what it tells must not fill an edge.
    private const int MaxTold = 64;
    private const int MaxFileBytes = 64 * 1024;

    private readonly string _path;
    private readonly IReadOnlyList<Uri> _joined;
    private IReadOnlyList<Uri> _told;
    private Uri? _last;
    private Uri? _failed;

    public HubEndpoints(EdgeIdentity identity)
    {
        _path = Path.Combine(identity.Directory, FileName);
        _joined = HubAddress.ParseAll(identity.Hub);
        byte[] kept = SmallFile.TryRead(DiskFiles.Instance, _path, MaxFileBytes) ?? [];
        _told = Parse(Encoding.UTF8.GetString(kept).Split('\n'));
    }

    /// <summary>All of them, the one that has worked last at the beginning, the one that has failed last at the end.</summary>
    public IReadOnlyList<Uri> All =>
    [
        .. ((IEnumerable<Uri?>)[_last, .. _joined, .. _told]).OfType<Uri>().DistinctBy(address => address.Authority)
            .OrderBy(address => address.Authority == _failed?.Authority),
    ];

    /// <summary>An address has answered as a hub does.</summary>
    public void Worked(Uri address)
    {
        _last = address;
        if (_failed?.Authority == address.Authority)
            _failed = null;
    }

    /// <summary>
    /// The link to an address was lost, or there is none. It may be frozen, or its network cut, and to ask it first would be to wait for it
    /// once more.
    /// </summary>
    public void Failed(Uri address) => _failed = address;

    /// <summary>
    /// Takes what the hub tells in place of what it has told before; durable on return where the disk can take it. What is no address is
    /// passed over.
    /// </summary>
    public void Learn(IEnumerable<string> told)
    {
        IReadOnlyList<Uri> next = Parse(told);
        if (next.Count == 0 || next.Select(address => address.Authority).SequenceEqual(_told.Select(address => address.Authority)))
            return;

        _told = next;
        try
        {
            string lines = string.Concat(next.Select(address => $"{address.Authority}\n"));
            SmallFile.Replace(DiskFiles.Instance, _path, Encoding.UTF8.GetBytes(lines));
        }
        catch (IOException)
        {
            // A full disk: it is told again at the next connection after a start.
        }
    }

    private static IReadOnlyList<Uri> Parse(IEnumerable<string> texts)
    {
        var addresses = new List<Uri>();
        foreach (string text in texts.Where(text => text.Length is > 0 and < 300).Take(MaxTold))
        {
            try
            {
                addresses.Add(HubAddress.Parse(text));
            }
            catch (ClusterException)
            {
                // Of a newer hub, or damaged: the others are good.
            }
        }

        return [.. addresses.DistinctBy(address => address.Authority)];
    }
}
