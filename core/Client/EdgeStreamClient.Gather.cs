using System.Diagnostics;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Client;

/// <summary>What was gathered from all SPUs of a cluster.</summary>
/// <param name="Items">In order.</param>
/// <param name="Problems">Why some may be missing, a line for each SPU that has not answered.</param>
public sealed record Gathered<T>(IReadOnlyList<T> Items, IReadOnlyList<string> Problems);

/// <content>What each SPU knows of the partitions that it leads, put together. Where all is one process, its answer or its refusal.</content>
public sealed partial class EdgeStreamClient
{
    // So long is waited for an answer of one SPU among several.
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(5);

    private sealed record Answer<T>(int Spu, T? Value, string? Problem);

    private sealed record Answers<T>(Topology Topology, IReadOnlyList<Answer<T>> All)
    {
        public IEnumerable<T> Values => All.Where(answer => answer.Problem is null).Select(answer => answer.Value!);

        public IReadOnlyList<string> Problems => [.. All.Select(answer => answer.Problem).OfType<string>()];
    }

    /// <summary>The topology, as it is now.</summary>
    /// <exception cref="ClientException">Nobody who knows it can be reached.</exception>
    public Task<Topology> GetTopologyAsync() => AskTopologyAsync();

    /// <summary>Partitions with their marks, by topic and number; those of an SPU that does not answer say so in their problem.</summary>
    /// <param name="topic">Only those of this topic; empty for all.</param>
    /// <exception cref="ClientException">There is no such topic, or the cluster cannot be reached.</exception>
    public async Task<IReadOnlyList<PartitionStatus>> ListPartitionsAsync(string topic = "")
    {
        Answers<ListPartitionsResponse> answers = await AskAllAsync(topic, (node, timeout) =>
            node.CallAsync(one => one.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest { Topic = topic })).WaitAsync(timeout)).ConfigureAwait(false);
        if (Leader.IsOneProcess(answers.Topology))
            return answers.Values.Single().Partitions;

        Dictionary<(int Spu, string Topic, int Partition), PartitionStatus> known = [];
        foreach (Answer<ListPartitionsResponse> answer in answers.All)
        {
            foreach (PartitionStatus status in answer.Value?.Partitions ?? [])
                known[(answer.Spu, status.Partition.Topic, status.Partition.Partition_)] = status;
        }

        Dictionary<int, string> problems = answers.All.ToDictionary(
            answer => answer.Spu, answer => answer.Problem ?? $"SPU {answer.Spu} does not lead it at the moment");
        return [.. answers.Topology.Topics.Where(one => topic.Length == 0 || one.Name == topic)
            .OrderBy(one => one.Name, StringComparer.Ordinal)
            .SelectMany(one => one.Partitions.OrderBy(partition => partition.Partition_).Select(partition =>
                known.GetValueOrDefault((partition.LeaderSpu, one.Name, partition.Partition_)) ?? new PartitionStatus
                {
                    Partition = partition,
                    EdgeDurable = -1,
                    Down = one.Settings.Down,
                    Problem = problems.GetValueOrDefault(partition.LeaderSpu, "no SPU leads it"),
                }))];
    }

    /// <summary>What is known to be lost, by topic, partition and offset.</summary>
    /// <param name="topic">Only of this topic; empty for all.</param>
    /// <param name="geoLocation">At a hub: only of this geo-location; empty for all.</param>
    /// <exception cref="ClientException">There is no such topic or geo-location, or the cluster cannot be reached.</exception>
    public async Task<Gathered<Gap>> ListGapsAsync(string topic = "", string geoLocation = "")
    {
        Answers<List<Gap>> answers = await AskAllAsync(topic, ListAsync, geoLocation).ConfigureAwait(false);
        return new Gathered<Gap>(
            [.. answers.Values.SelectMany(gaps => gaps)
                .OrderBy(gap => gap.Topic, StringComparer.Ordinal).ThenBy(gap => gap.Partition).ThenBy(gap => gap.FirstOffset)],
            answers.Problems);

        async Task<List<Gap>> ListAsync(NodeClient node, TimeSpan timeout)
        {
            var request = new ListGapsRequest { Topic = topic, GeoLocation = geoLocation };
            List<Gap> gaps = [];
            while (true)
            {
                ListGapsResponse answer = await node.CallAsync(one => one.ControlPlane.ListGapsAsync(request)).WaitAsync(timeout).ConfigureAwait(false);
                gaps.AddRange(answer.Gaps);
                request.Skip += answer.Gaps.Count;
                if (answer.Gaps.Count == 0 || request.Skip >= answer.Total)
                    return gaps;
            }
        }
    }

    /// <summary>At a hub: the latest value of each key of a live topic, by geo-location.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="geoLocation">Only of this geo-location; empty for all.</param>
    /// <exception cref="ClientException">There is no such topic, this is no hub, or the cluster cannot be reached.</exception>
    public async Task<Gathered<LatestValue>> ReadLatestAsync(string topic, string geoLocation = "")
    {
        Answers<LatestResponse> answers = await AskAllAsync(topic, (node, timeout) =>
            node.CallAsync(one => one.Live.LatestAsync(new LatestRequest { Topic = topic, GeoLocation = geoLocation })).WaitAsync(timeout), geoLocation).ConfigureAwait(false);
        if (Leader.IsOneProcess(answers.Topology))
            return new Gathered<LatestValue>(answers.Values.Single().Values, []);

        // An SPU that has served a geo-location before may still have what it was told then.
        return new Gathered<LatestValue>(
            [.. answers.Values.SelectMany(response => response.Values)
                .GroupBy(latest => (latest.GeoLocation, latest.Value.HasKey, latest.Value.Key))
                .Select(same => same.MaxBy(latest => latest.Value.Offset)!)
                .OrderBy(latest => latest.GeoLocation, StringComparer.Ordinal)],
            answers.Problems);
    }

    /// <summary>Asks all SPUs at once.</summary>
    /// <param name="topic">That is meant; empty for all.</param>
    /// <param name="ask">Asks one, and gives up after some time.</param>
    /// <param name="geoLocation">That is meant; empty for all.</param>
    /// <exception cref="ClientException">There is no such topic or geo-location, or none has answered.</exception>
    private async Task<Answers<T>> AskAllAsync<T>(string topic, Func<NodeClient, TimeSpan, Task<T>> ask, string geoLocation = "")
    {
        Topology topology = await AskTopologyAsync().ConfigureAwait(false);
        if (Leader.IsOneProcess(topology))
            return new Answers<T>(topology, [new Answer<T>(topology.Spus[0].Id, await ask(NodeOf(topology.Spus[0]), Timeout.InfiniteTimeSpan).ConfigureAwait(false), null)]);

        CheckKnown(topology);
        HashSet<int> leading = [.. topology.Topics.SelectMany(one => one.Partitions).Select(partition => partition.LeaderSpu)];
        (Answer<T> Answer, ClientException? Error)[] all = await Task.WhenAll(topology.Spus
            .Where(spu => spu.Online || leading.Contains(spu.Id)).OrderBy(spu => spu.Id).Select(AskOneAsync)).ConfigureAwait(false);
        if (all.Length > 0 && all.All(one => one.Error is not null))
            throw (all.FirstOrDefault(one => one.Error!.Code != ErrorCode.Unavailable).Error ?? all[0].Error)!;

        return new Answers<T>(topology, [.. all.Select(one => one.Answer)]);

        async Task<(Answer<T> Answer, ClientException? Error)> AskOneAsync(Spu spu)
        {
            long began = Stopwatch.GetTimestamp();
            for (Topology known = topology; ;)
            {
                try
                {
                    return (new Answer<T>(spu.Id, await ask(NodeOf(spu), AnswerTimeout).ConfigureAwait(false), null), null);
                }
                catch (TimeoutException late)
                {
                    return Failed(spu, new ClientException(ErrorCode.Unavailable, $"SPU {spu.Id} does not answer", late));
                }
                catch (ClientException untold) when (untold.Code is ErrorCode.TopicNotFound or ErrorCode.GeoLocationNotFound)
                {
                    // The topology has it, as far as that is still so: the SPU was not told yet, or is about to open a large topic.
                    known = await _topology.NewerThanAsync(known, CancellationToken.None).ConfigureAwait(false);
                    CheckKnown(known);
                    if (Stopwatch.GetElapsedTime(began) > AnswerTimeout)
                        return Failed(spu, new ClientException(ErrorCode.Unavailable, $"SPU {spu.Id} was not told of it yet; try again", untold));
                }
                catch (ClientException error)
                {
                    string problem = error.Code == ErrorCode.Unavailable ? $"SPU {spu.Id} does not answer: {error.Message}" : $"SPU {spu.Id}: {error.Message}";
                    return (new Answer<T>(spu.Id, default, problem), error);
                }
            }
        }

        static (Answer<T> Answer, ClientException? Error) Failed(Spu spu, ClientException error) => (new Answer<T>(spu.Id, default, error.Message), error);

        void CheckKnown(Topology known)
        {
            if (topic.Length > 0)
                TopicOf(known, topic);

            if (geoLocation.Length > 0 && known.GeoLocations.All(geo => geo.Name != geoLocation))
                throw new ClientException(ErrorCode.GeoLocationNotFound, $"there is no geo-location '{geoLocation}'; 'edgestream geo list' shows them");
        }
    }
}
