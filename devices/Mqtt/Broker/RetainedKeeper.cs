using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using MQTTnet;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// Puts retained messages on the disk: some seconds after they have changed, and when the broker stops. Nothing is written while nothing
/// changes. A disk that does not give or take them costs what was kept, and never the broker's start.
/// </summary>
internal sealed class RetainedKeeper : IAsyncDisposable
{
    /// <summary>What is written at most; what is kept in memory may be more.</summary>
    private const int MaxFileBytes = 4 * 1024 * 1024;

    // A card is worn by many values that change all the time: on average no more than this is written in a second.
    private const int BytesPerSecond = 32 * 1024;

    private static readonly TimeSpan MinPause = TimeSpan.FromSeconds(5);

    private readonly IDeviceFiles? _files;
    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<bool> _changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private Task _keeping = Task.CompletedTask;
    private int _fileBytes;
    private bool _failed;
    private int _leftOut;

    private RetainedKeeper(IDeviceFiles? files, string name, TimeProvider time, ILogger logger)
    {
        (_files, _name, _time, _logger) = (files, name, time, logger);
        Messages = new RetainedMessages(() => _changes.Writer.TryWrite(true));
    }

    public RetainedMessages Messages { get; }

    /// <summary>Reads what was kept.</summary>
    /// <param name="files">Null keeps nothing.</param>
    /// <param name="broker">Where it listens: tells the files of several brokers apart.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Told what cannot be kept.</param>
    public static RetainedKeeper Open(IDeviceFiles? files, string broker, TimeProvider time, ILogger logger)
    {
        string name = $"mqtt-retained-{Crc32C.Of(broker)}";
        var keeper = new RetainedKeeper(files, name, time, logger);
        keeper.Load();
        return keeper;
    }

    /// <summary>Keeps what changes from now on.</summary>
    public void Start(Subscribers subscribers)
    {
        if (_files is { } files)
            _keeping = Task.Run(() => KeepAsync(files, subscribers));
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _keeping.ConfigureAwait(false);
        _stop.Dispose();
    }

    private void Load()
    {
        try
        {
            byte[]? contents = _files?.TryRead(_name, MaxFileBytes);
            if (contents is null)
                return;

            _fileBytes = contents.Length;
            foreach (MqttApplicationMessage message in RetainedFile.Read(contents))
                Messages.TryKeep(new RoutedMessage(message, TimeSpan.Zero), TimeSpan.Zero);

            // As they stand on the disk.
            _changes.Reader.TryRead(out _);
        }
        catch (Exception damage) when (damage is InvalidDataException or EndOfStreamException or ArgumentException)
        {
            _logger.LogWarning("the retained messages in '{File}' are damaged: {Problem}; the file was set aside", _name, damage.Message);
            _files!.SetAside(_name);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            _logger.LogWarning("the retained messages cannot be read: {Problem}", error.Message);
        }
    }

    private async Task KeepAsync(IDeviceFiles files, Subscribers subscribers)
    {
        try
        {
            while (true)
            {
                await _changes.Reader.WaitToReadAsync(_stop.Token).ConfigureAwait(false);
                TimeSpan pause = TimeSpan.FromSeconds(_fileBytes / BytesPerSecond);
                await Task.Delay(pause > MinPause ? pause : MinPause, _time, _stop.Token).ConfigureAwait(false);
                SaveWhereChanged(files, subscribers);
            }
        }
        catch (OperationCanceledException)
        {
            SaveWhereChanged(files, subscribers);
        }
    }

    private void SaveWhereChanged(IDeviceFiles files, Subscribers subscribers)
    {
        if (!_changes.Reader.TryRead(out _))
            return;

        byte[] contents = subscribers.WriteRetained(MaxFileBytes, out int leftOut);
        try
        {
            files.Replace(_name, contents);
            (_fileBytes, _failed) = (contents.Length, false);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Told once, and tried again.
            if (!_failed)
                _logger.LogWarning("the retained messages cannot be kept: {Problem}; after a restart they are as they were", error.Message);

            _failed = true;
            _changes.Writer.TryWrite(true);
            return;
        }

        if (leftOut > 0 && _leftOut == 0)
            _logger.LogWarning("{Count} retained messages will be gone after a restart: no more than {Bytes} bytes are kept", leftOut, MaxFileBytes);

        _leftOut = leftOut;
    }
}
