using System.Security.Cryptography;
using System.Text;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// What was left at a broker under a client id, and stays there until it is taken back: filters that a session has subscribed to, retained
/// messages. So what has gone from the configuration can be taken back too.
/// </summary>
/// <param name="files">Where it is remembered; null forgets it.</param>
/// <param name="kind">What is left there.</param>
/// <param name="broker">The broker.</param>
/// <param name="clientId">In whose name.</param>
internal sealed class RememberedTopics(IDeviceFiles? files, string kind, string broker, string clientId)
{
    private const int MaxFileBytes = 1024 * 1024;

    // No filter and no topic has it in it ([MQTT-1.5.3-2]).
    private const char Separator = '\0';

    private readonly string _name =
        $"mqtt-{kind}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{broker}{Separator}{clientId}")).AsSpan(0, 8))}";

    /// <summary>
    /// Remembers what is going to be left there, beside what was: wherever this node stops, it knows all that may be there.
    /// </summary>
    /// <returns>What was left there and is wanted no more.</returns>
    /// <exception cref="IOException">The disk does not take it.</exception>
    public IReadOnlyList<string> Add(IReadOnlyCollection<string> wanted)
    {
        IReadOnlyList<string> known = Read();
        string[] gone = [.. known.Except(wanted, StringComparer.Ordinal)];
        Write(known, [.. wanted, .. gone]);
        return gone;
    }

    /// <summary>What is wanted no more has been taken back.</summary>
    /// <exception cref="IOException">The disk does not take it.</exception>
    public void Keep(IReadOnlyCollection<string> wanted) => Write(Read(), wanted);

    private string[] Read() =>
        files?.TryRead(_name, MaxFileBytes) is { Length: > 0 } contents ? Encoding.UTF8.GetString(contents).Split(Separator) : [];

    private void Write(IReadOnlyCollection<string> known, IReadOnlyCollection<string> topics)
    {
        if (files is not null && !known.ToHashSet(StringComparer.Ordinal).SetEquals(topics))
            files.Replace(_name, Encoding.UTF8.GetBytes(string.Join(Separator, topics)));
    }
}
