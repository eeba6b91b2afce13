using System.Text;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// What was left at a broker under a client id, and stays there until it is taken back: filters that a session has subscribed to, retained
/// messages. So what has gone from the configuration can be taken back too. A disk that does not give or take it costs only that.
/// </summary>
/// <param name="files">Where it is remembered; null forgets it.</param>
/// <param name="kind">What is left there.</param>
/// <param name="broker">The broker.</param>
/// <param name="clientId">In whose name.</param>
/// <param name="logger">Told what cannot be remembered.</param>
internal sealed class RememberedTopics(IDeviceFiles? files, string kind, string broker, string clientId, ILogger logger)
{
    private const int MaxFileBytes = 1024 * 1024;

    // No filter and no topic has it in it ([MQTT-1.5.3-2]).
    private const char Separator = '\0';

    private readonly string _name = $"mqtt-{kind}-{Crc32C.Of($"{broker}{Separator}{clientId}")}";

    /// <summary>
    /// Remembers what is going to be left there, beside what was: wherever this node stops, it knows all that may be there.
    /// </summary>
    /// <returns>What was left there and is wanted no more.</returns>
    public IReadOnlyList<string> Add(IReadOnlyCollection<string> wanted)
    {
        IReadOnlyList<string> known = Read();
        string[] gone = [.. known.Except(wanted, StringComparer.Ordinal)];
        Write(known, [.. wanted, .. gone]);
        return gone;
    }

    /// <summary>What is wanted no more has been taken back.</summary>
    public void Keep(IReadOnlyCollection<string> wanted) => Write(Read(), wanted);

    private string[] Read()
    {
        try
        {
            string known = Encoding.UTF8.GetString(files?.TryRead(_name, MaxFileBytes) ?? []);

            // Nothing that a broker would take amiss, whatever has become of the file.
            return [.. known.Split(Separator).Where(
                topic => MqttTopicRule.ProblemOf(topic, out _) is null && !topic.Contains('\uFFFD', StringComparison.Ordinal))];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            logger.LogWarning("what was left at {Broker} before cannot be read: {Problem}; what is configured no more stays there", broker, error.Message);
            return [];
        }
    }

    private void Write(IReadOnlyCollection<string> known, IReadOnlyCollection<string> topics)
    {
        if (files is null || known.ToHashSet(StringComparer.Ordinal).SetEquals(topics))
            return;

        try
        {
            files.Replace(_name, Encoding.UTF8.GetBytes(string.Join(Separator, topics)));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            logger.LogWarning("what is left at {Broker} cannot be remembered: {Problem}; it is not taken back when it is configured no more", broker, error.Message);
        }
    }
}
