using System.Runtime.InteropServices;
using EdgeStream.Agent.Configuration;
using Microsoft.Extensions.Hosting.Systemd;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// SIGHUP reads the configuration again and applies it. Where there is an error in it nothing changes: the old one goes on, and the
/// node says so until a good one was read.
/// </summary>
internal sealed class ConfigurationReload : IDisposable
{
    private readonly string? _file;
    private readonly Func<AgentConfiguration, Task<string>> _apply;
    private readonly Action<IReadOnlyList<ConfigurationFile>> _keep;
    private readonly ILogger _logger;
    private readonly SemaphoreSlim _reloading = new(1);
    private readonly PosixSignalRegistration? _signal;
    private volatile string? _problem;

    /// <param name="file">As the command line gave it.</param>
    /// <param name="problem">Why it is not what the node has started with; null where it is.</param>
    /// <param name="apply">Makes a configuration count, and says what has changed.</param>
    /// <param name="keep">Told the files of one that counts.</param>
    /// <param name="logger">Told of each reload.</param>
    public ConfigurationReload(
        string? file, string? problem, Func<AgentConfiguration, Task<string>> apply, Action<IReadOnlyList<ConfigurationFile>> keep, ILogger logger)
    {
        (_file, _problem, _apply, _keep, _logger) = (file, problem, apply, keep, logger);

        // In a terminal the signal says that the terminal is gone, and ends the program as ever.
        if (Console.IsInputRedirected)
        {
            _signal = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
            {
                context.Cancel = true;
                _ = Task.Run(() => ReloadAsync());
            });
        }
    }

    /// <summary>Why the configuration that stands in the files is not the one that counts; null where it is.</summary>
    public string? Problem => _problem;

    /// <summary>Told before and after; null outside systemd.</summary>
    public ISystemdNotifier? Notifier { get; set; }

    public void Dispose() => _signal?.Dispose();

    private async Task ReloadAsync()
    {
        await _reloading.WaitAsync().ConfigureAwait(false);
        Notifier?.Notify(new ServiceState("RELOADING=1"));
        try
        {
            IReadOnlyList<ConfigurationFile> files = ConfigurationFiles.Read(_file);
            string changes = await _apply(ConfigurationFiles.Parse(files)).ConfigureAwait(false);
            _problem = null;
            _keep(files);
            _logger.LogInformation("configuration reloaded: {Changes}", changes);
        }
        catch (Exception error)
        {
            _problem = $"the configuration was not reloaded, the one before goes on: {error.Message}";
            _logger.LogError("{Problem}", _problem);
        }
        finally
        {
            Notifier?.Notify(ServiceState.Ready);
            _reloading.Release();
        }
    }
}
