using EdgeStream.Agent.Configuration;
using EdgeStream.Devices.Commands;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Devices.Sysfs;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Checks;

/// <summary>
/// Whether sources and sinks will find what they are configured for: lines, files, programs, certificates. They look for it as they would
/// themselves, and take nothing. None of it keeps a node from starting: what is missing is tried again for ever.
/// </summary>
internal static class DeviceChecks
{
    // A 1-wire thermometer takes almost a second; a bus that hangs takes for ever.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <param name="configuration">What is configured.</param>
    /// <param name="running">The node that runs here, whose lines are its own; null where none does.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static async Task<IReadOnlyList<Finding>> RunAsync(
        AgentConfiguration configuration, NodeStatus? running, CancellationToken cancellationToken) =>
    [
        // Several lines may lack the same chip.
        .. CheckGpio(configuration, running).Distinct(),
        .. await Task.WhenAll(configuration.SysfsSources.Select(source => CheckFilesAsync(source, cancellationToken))).ConfigureAwait(false),
        .. configuration.Commands.Select(CheckProgram),
        .. CheckCertificates(configuration),
    ];

    private static IEnumerable<Finding> CheckGpio(AgentConfiguration configuration, NodeStatus? running)
    {
        IEnumerable<(string? Chip, LineId Line)> lines =
            configuration.GpioLines.Select(source => (source.Chip, source.Line.Line)).Concat(configuration.GpioSinks.Select(sink => (sink.Chip, sink.Line.Line)));
        foreach ((string? chip, LineId line) in lines)
        {
            if (chip is null)
                continue;

            if (IsHeld($"gpio {chip}/{line}"))
                yield return new Finding("gpio", Verdict.Ok, $"line {line} of {chip} is in use by this node");
            else if (GpioChip.FindProblem(chip, line) is { } problem)
                yield return new Finding("gpio", Verdict.Warning, problem);
            else
                yield return new Finding("gpio", Verdict.Ok, $"line {line} of {chip} is free");
        }

        bool needsLibrary = configuration.GpioLines.Any(source => source is { Chip: not null, Line.Poll: not null })
            || configuration.GpioSinks.Any(sink => sink.Chip is not null);
        if (needsLibrary && GpioChip.FindLibraryProblem() is { } missing)
            yield return new Finding("gpio", Verdict.Warning, missing);

        bool IsHeld(string name) => running is not null
            && running.Sources.Concat(running.Sinks).Any(device => device.Name == name && device.State == "running");
    }

    private static async Task<Finding> CheckFilesAsync(SysfsOptions source, CancellationToken cancellationToken)
    {
        try
        {
            IReadOnlyList<string> problems = await Task.Run(() => SysfsSource.FindProblems(source), CancellationToken.None)
                .WaitAsync(Patience, cancellationToken)
                .ConfigureAwait(false);
            return problems.Count == 0
                ? new Finding("sysfs", Verdict.Ok, $"'{source.Path}' can be read")
                : new Finding("sysfs", Verdict.Warning, string.Join("; ", problems));
        }
        catch (TimeoutException)
        {
            return new Finding("sysfs", Verdict.Warning, $"'{source.Path}' was not read within {Patience.TotalSeconds:0} s; is the sensor's bus wired well?");
        }
    }

    private static Finding CheckProgram(CommandOptions source) => CommandSource.FindProblem(source) is { } problem
        ? new Finding("command", Verdict.Warning, problem)
        : new Finding("command", Verdict.Ok, $"'{source.Command[0]}' can be run");

    private static IEnumerable<Finding> CheckCertificates(AgentConfiguration configuration)
    {
        DateTimeOffset now = DateTimeOffset.UtcNow;
        IEnumerable<MqttBrokerOptions> clients = [.. configuration.MqttSources, .. configuration.AllMqttSinks];
        IEnumerable<string> problems = clients.SelectMany(client => CertificateFiles.FindProblems(client, now))
            .Concat(configuration.MqttBrokers.SelectMany(broker => CertificateFiles.FindProblems(broker, now)));
        return problems.Distinct().Select(problem => new Finding("certificate", Verdict.Warning, problem));
    }
}
