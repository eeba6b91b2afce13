using System.Buffers;
using System.Globalization;
using System.Text;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Storage;
using Microsoft.Extensions.Logging;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Nats;

/// <summary>
/// The connection to the NATS servers, and what is asked of JetStream there. Each question ends within
/// <see cref="JetStreamOptions.AnswerTimeout"/>; where there is no answer the exception's code is <see cref="ErrorCode.Unavailable"/>.
/// Safe from any thread.
/// </summary>
internal sealed class JetStreamServers : IAsyncDisposable
{
    // Direct reads and expected sequences as they are used here.
    private static readonly Version Oldest = new(2, 9, 0);

    // What a message's own headers may take of the servers' max_payload.
    private const int HeaderRoom = 512;

    private const int MaxEndReads = 16;

    // How long a failed connection stands for the next ones: thousands of partitions ask at once.
    private static readonly TimeSpan FailureHolds = TimeSpan.FromSeconds(1);

    private readonly JetStreamOptions _options;
    private readonly NatsConnection _connection;
    private readonly NatsJSContext _jetStream;
    private readonly SemaphoreSlim _checking = new(1);
    private volatile bool _isReady;

    // Cancelled with the connection: what was asked over it is not answered any more, and need not be waited for.
    private CancellationTokenSource _connected = new();
    private (string Problem, long At)? _failed;

    public JetStreamServers(JetStreamOptions options, ILogger logger)
    {
        _options = options;
        _connection = new NatsConnection(new NatsOpts
        {
            Url = string.Join(',', options.Servers),
            Name = options.ClientName,

            // The nearest stands first.
            NoRandomize = true,
            AuthOpts = new NatsAuthOpts { CredsFile = options.CredentialsFile, Username = options.User, Password = options.Password },
            TlsOpts = new NatsTlsOpts
            {
                CaFile = options.CaFile,
                CertFile = options.CertificateFile,
                KeyFile = options.KeyFile,
                Mode = options.CaFile is not null || options.CertificateFile is not null ? TlsMode.Require : TlsMode.Auto,
            },
            RequestTimeout = options.AnswerTimeout,
            CommandTimeout = options.AnswerTimeout,
            ConnectTimeout = options.AnswerTimeout,

            // A server that is frozen, or whose network is cut, says nothing: this is how long it takes to notice.
            PingInterval = TimeSpan.FromSeconds(2),
            MaxPingOut = 2,
            MaxReconnectRetry = -1,
            ReconnectWaitMin = TimeSpan.FromMilliseconds(100),
            ReconnectWaitMax = TimeSpan.FromSeconds(2),
            IgnoreAuthErrorAbort = true,
            SerializerRegistry = NatsDefaultSerializerRegistry.Default,
        });
        _jetStream = new NatsJSContext(_connection);
        _connection.ConnectionDisconnected += (_, _) =>
        {
            _isReady = false;
            Interlocked.Exchange(ref _connected, new CancellationTokenSource()).Cancel();
            logger.LogWarning("the connection to NATS is lost; it is made again by itself");
            return ValueTask.CompletedTask;
        };
    }

    /// <summary>
    /// Held while the end of a partition is read, megabytes of it: after another SPU has died, hundreds may have to be at once. Not disposed
    /// of: who reads still at the end gives it back.
    /// </summary>
    public SemaphoreSlim EndReads { get; } = new(MaxEndReads);

    /// <summary>The most that the payload of one message may have, in bytes.</summary>
    public int MaxPayload => (_connection.ServerInfo?.MaxPayload ?? 1024 * 1024) - HeaderRoom;

    /// <summary>The name of the server that it is connected to; null while it is to none.</summary>
    public string? ConnectedServer => _connection.ConnectionState == NatsConnectionState.Open ? _connection.ServerInfo?.Name : null;

    /// <summary>Connects where that is not done, and makes sure that there is a JetStream that will do.</summary>
    /// <exception cref="ClusterException">There is none now; why, in one line.</exception>
    public async ValueTask EnsureReadyAsync()
    {
        if (_isReady)
            return;

        await _checking.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_isReady)
                return;

            if (_failed is { } failed && Environment.TickCount64 - failed.At < FailureHolds.TotalMilliseconds)
                throw Unavailable(failed.Problem);

            if (await FindProblemAsync().ConfigureAwait(false) is { } problem)
            {
                _failed = (problem, Environment.TickCount64);
                throw Unavailable(problem);
            }

            _isReady = true;
        }
        finally
        {
            _checking.Release();
        }
    }

    /// <summary>What the servers know of a stream; null where there is none.</summary>
    public async Task<StreamInfo?> FindStreamAsync(string stream, CancellationToken cancellationToken = default)
    {
        try
        {
            return await AskAsync(
                async token => (await _jetStream.GetStreamAsync(stream, cancellationToken: token).ConfigureAwait(false)).Info, cancellationToken)
                .ConfigureAwait(false);
        }
        catch (NatsJSApiException none) when (none.Error.ErrCode == JetStreamErrors.StreamNotFound)
        {
            return null;
        }
    }

    /// <summary>
    /// The sequences of a stream that no message has any more, though there are some before and behind them: where an account has no room,
    /// a message gets its sequence and is taken out again.
    /// </summary>
    public async Task<IReadOnlySet<long>> FindDeletedAsync(string stream)
    {
        StreamInfo known = await AskAsync(async token =>
            (await _jetStream.GetStreamAsync(stream, new StreamInfoRequest { DeletedDetails = true }, token).ConfigureAwait(false)).Info).ConfigureAwait(false);
        return (known.State.Deleted ?? []).Select(sequence => (long)sequence).ToHashSet();
    }

    /// <exception cref="NatsJSApiException">The servers refuse it.</exception>
    public Task<StreamInfo> CreateStreamAsync(StreamConfig config) =>
        AskAsync(async token => (await _jetStream.CreateStreamAsync(config, token).ConfigureAwait(false)).Info);

    /// <exception cref="NatsJSApiException">The servers refuse it.</exception>
    public Task<StreamInfo> UpdateStreamAsync(StreamConfig config) =>
        AskAsync(async token => (await _jetStream.UpdateStreamAsync(config, token).ConfigureAwait(false)).Info);

    /// <summary>False where there is none.</summary>
    public async Task<bool> DeleteStreamAsync(string stream)
    {
        try
        {
            return await AskAsync(token => _jetStream.DeleteStreamAsync(stream, token).AsTask()).ConfigureAwait(false);
        }
        catch (NatsJSApiException none) when (none.Error.ErrCode == JetStreamErrors.StreamNotFound)
        {
            return false;
        }
    }

    /// <summary>Where there is no such stream, there is nothing to do.</summary>
    public async Task PurgeAsync(string stream, StreamPurgeRequest what)
    {
        try
        {
            await AskAsync(token => _jetStream.PurgeStreamAsync(stream, what, token).AsTask()).ConfigureAwait(false);
        }
        catch (NatsJSApiException none) when (none.Error.ErrCode == JetStreamErrors.StreamNotFound)
        {
        }
    }

    /// <summary>
    /// Sends a message in two steps: the outer task completes once it has its place behind those that were sent before, the inner one,
    /// which never fails, says what became of it.
    /// </summary>
    /// <param name="subject">The subject.</param>
    /// <param name="payload">Free once the outer task has completed.</param>
    /// <param name="headers">Its headers, what is expected of the stream among them.</param>
    public async ValueTask<Task<PublishOutcome>> PublishAsync(string subject, ReadOnlySequence<byte> payload, NatsHeaders headers)
    {
        var limit = CancellationTokenSource.CreateLinkedTokenSource(Volatile.Read(ref _connected).Token);
        limit.CancelAfter(_options.AnswerTimeout);
        try
        {
            NatsJSPublishConcurrentFuture future = await _jetStream
                .PublishConcurrentAsync(subject, payload, NatsRawSerializer<ReadOnlySequence<byte>>.Default, headers: headers, cancellationToken: limit.Token)
                .ConfigureAwait(false);
            return AwaitAckAsync(future, limit);
        }
        catch (Exception lost) when (IsLost(lost))
        {
            limit.Dispose();
            return Task.FromResult(PublishOutcome.Unknown(lost.Message));
        }
    }

    /// <summary>
    /// One message, as whoever of the servers has it gives it. Null where that one has none of that sequence, which may mean that it is
    /// behind the others: <see cref="FindFromLeaderAsync"/> tells.
    /// </summary>
    public async Task<StreamMessage?> FindAsync(string stream, long sequence)
    {
        byte[] request = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{{\"seq\":{sequence}}}"));
        NatsMsg<NatsMemoryOwner<byte>> answer = await AskAsync(token => _connection
            .RequestAsync(
                $"$JS.API.DIRECT.GET.{stream}", request, requestSerializer: NatsRawSerializer<byte[]>.Default,
                replySerializer: NatsRawSerializer<NatsMemoryOwner<byte>>.Default, cancellationToken: token)
            .AsTask()).ConfigureAwait(false);
        if (answer.Headers is not { } headers || headers.Code != 0 || !headers.TryGetLastValue("Nats-Subject", out string? subject))
        {
            answer.Data.Dispose();
            return null;
        }

        headers.TryGetLastValue(StreamMessage.TimeHeader, out string? latest);
        headers.TryGetLastValue("Nats-Time-Stamp", out string? storedAt);
        return new StreamMessage(
            stream, subject, sequence, StreamMessage.ParseTime(latest),
            DateTimeOffset.TryParse(storedAt, CultureInfo.InvariantCulture, out DateTimeOffset time) ? time : DateTimeOffset.MinValue, answer.Data);
    }

    /// <summary>The first message at or behind a sequence, as the stream's leader has it; null where there is none.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="sequence">The least that the message may have.</param>
    /// <param name="subject">Of which subjects.</param>
    public async Task<StreamMessage?> FindFromLeaderAsync(string stream, long sequence, string subject)
    {
        if (await AskLeaderAsync(stream, new StreamMsgGetRequest { Seq = (ulong)sequence, NextBySubj = subject }).ConfigureAwait(false) is not { } found)
            return null;

        NatsMemoryOwner<byte> payload = NatsMemoryOwner<byte>.Allocate(found.Data.Length);
        found.Data.CopyTo(payload.Memory);
        return new StreamMessage(
            stream, found.Subject, (long)found.Seq, StreamMessage.ParseTime(HeaderOf(found, StreamMessage.TimeHeader)), found.Time, payload);
    }

    /// <summary>As <see cref="FindFromLeaderAsync"/>, of a stream that is no partition's.</summary>
    public Task<StoredMessage?> FindNextAsync(string stream, long sequence, string subject) =>
        AskLeaderAsync(stream, new StreamMsgGetRequest { Seq = (ulong)sequence, NextBySubj = subject });

    /// <summary>The last message of a subject, as the stream's leader has it; null where there is none.</summary>
    public Task<StoredMessage?> FindLastAsync(string stream, string subject) => AskLeaderAsync(stream, new StreamMsgGetRequest { LastBySubj = subject });

    public async ValueTask DisposeAsync()
    {
        await _connection.DisposeAsync().ConfigureAwait(false);
        _checking.Dispose();
        _connected.Dispose();
    }

    public ClusterException Unavailable(string problem) => new(
        ErrorCode.Unavailable, $"NATS at {_options.Address}: {problem}; what is stored there waits, and goes on by itself");

    public ClusterException Full(string what, string problem) => new(
        ErrorCode.StorageFull, $"NATS at {_options.Address} has no room for {what} ({problem}); raise max_file_store there, or free some of it");

    private async Task<StoredMessage?> AskLeaderAsync(string stream, StreamMsgGetRequest request)
    {
        try
        {
            return (await AskAsync(token => _jetStream
                .JSRequestResponseAsync<StreamMsgGetRequest, StreamMsgGetResponse>($"$JS.API.STREAM.MSG.GET.{stream}", request, token)
                .AsTask()).ConfigureAwait(false)).Message;
        }
        catch (NatsJSApiException none) when (none.Error.ErrCode is JetStreamErrors.MessageNotFound)
        {
            return null;
        }
        catch (NatsJSApiException refusal)
        {
            throw Unavailable(refusal.Message);
        }
    }

    /// <summary>Headers come as base64 of the lines that they are on the wire.</summary>
    public static string? HeaderOf(StoredMessage message, string name)
    {
        if (message.Hdrs is not { Length: > 0 } encoded)
            return null;

        string prefix = name + ":";
        return Encoding.UTF8.GetString(Convert.FromBase64String(encoded))
            .Split("\r\n")
            .LastOrDefault(line => line.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))?[prefix.Length..].Trim();
    }

    /// <summary>Why a server of this version will not do; null where it will, or nobody can tell.</summary>
    internal static string? ProblemOf(string version) => Version.TryParse(version.Split('-', '+')[0], out Version? known) && known < Oldest
        ? $"the server has version {version}, and {Oldest} is the oldest that will do; update it"
        : null;

    private async Task<string?> FindProblemAsync()
    {
        try
        {
            await _connection.ConnectAsync().AsTask().WaitAsync(_options.AnswerTimeout).ConfigureAwait(false);
            if (ProblemOf(_connection.ServerInfo!.Version) is { } tooOld)
                return tooOld;

            await AskAsync(token => _jetStream.GetAccountInfoAsync(token).AsTask()).ConfigureAwait(false);
            return null;
        }
        catch (NatsJSApiException refusal) when (refusal.Error.ErrCode is JetStreamErrors.NotEnabled or JetStreamErrors.NotEnabledForAccount)
        {
            return "JetStream is not enabled there; start nats-server with a jetstream { store_dir } block, and enable it for the account";
        }
        catch (NatsJSApiException refusal)
        {
            return $"JetStream is not ready ({refusal.Error.Description})";
        }
        catch (ClusterException silent)
        {
            return _connection.ServerInfo is { JetStreamAvailable: false }
                ? "JetStream is not enabled there; start nats-server with a jetstream { store_dir } block"
                : $"JetStream does not answer ({silent.InnerException?.Message ?? silent.Message})";
        }
        catch (Exception unreachable) when (IsLost(unreachable))
        {
            return $"no server can be reached ({(unreachable.InnerException ?? unreachable).Message})";
        }
    }

    private async Task<PublishOutcome> AwaitAckAsync(NatsJSPublishConcurrentFuture future, CancellationTokenSource limit)
    {
        try
        {
            // Its disposal throws as well, where what came was no answer.
            await using NatsJSPublishConcurrentFuture answered = future;
            PubAckResponse answer = await answered.GetResponseAsync(limit.Token).ConfigureAwait(false);
            return answer.Error is not { } error ? PublishOutcome.Stored((long)answer.Seq)
                : error.ErrCode == JetStreamErrors.WrongLastSequence ? PublishOutcome.Misplaced(error.Description ?? "")
                : JetStreamErrors.IsFull(error.ErrCode) ? PublishOutcome.Full(error.Description ?? "no room")
                : PublishOutcome.Unknown(error.Description ?? $"error {error.ErrCode}");
        }
        catch (Exception lost) when (IsLost(lost))
        {
            return PublishOutcome.Unknown(
                lost is OperationCanceledException ? $"the connection was lost, or no answer came within {_options.AnswerTimeout.TotalSeconds:0} s" : lost.Message);
        }
        finally
        {
            limit.Dispose();
        }
    }

    /// <exception cref="ClusterException">There was no answer.</exception>
    /// <exception cref="NatsJSApiException">The answer is no.</exception>
    private async Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> question, CancellationToken cancellationToken = default)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(_options.AnswerTimeout);
        try
        {
            return await question(limit.Token).ConfigureAwait(false);
        }
        catch (NatsJSApiException passing) when (JetStreamErrors.IsPassing(passing.Error.ErrCode))
        {
            throw Unavailable(passing.Message);
        }
        catch (NatsJSApiException)
        {
            throw;
        }
        catch (Exception lost) when (IsLost(lost))
        {
            throw Unavailable(lost switch
            {
                OperationCanceledException => $"no answer within {_options.AnswerTimeout.TotalSeconds:0} s",
                NatsNoRespondersException or NatsJSApiNoResponseException => "JetStream does not answer; there is no majority of the servers, or no leader yet",
                _ => lost.Message,
            });
        }
    }

    private static bool IsLost(Exception error) =>
        error is NatsException or OperationCanceledException or TimeoutException or IOException or System.Net.Sockets.SocketException or ObjectDisposedException;
}
