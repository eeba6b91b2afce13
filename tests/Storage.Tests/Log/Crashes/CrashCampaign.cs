using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>
/// Cuts the power, or kills the process, at every operation that a workload asked of its disk, and checks what that leaves; then
/// cuts the recovery of some of these images in turn.
/// </summary>
internal sealed class CrashCampaign(LogUnderTest test, int seed)
{
    // Mistakes are planted in front of the workload only: what checks the images has to be honest.
    private readonly LogUnderTest _honest = test with { Between = files => files };
    private readonly Random _random = new(seed);

    /// <summary>How many images were checked.</summary>
    public int Images { get; private set; }

    /// <summary>One instant of so many is looked at; the last one always is.</summary>
    public int CheckOneIn { get; init; } = 1;

    /// <summary>One image of so many has its own recovery cut.</summary>
    public int SecondCutOneIn { get; init; } = 6;

    /// <summary>Whether what was acknowledged as written must survive where the process alone dies.</summary>
    public bool KillsProcess { get; init; } = true;

    /// <exception cref="LogViolationException">The first promise that was broken, and how to break it again.</exception>
    public async Task RunAsync(SimulatedDisk disk, LogEvidence evidence)
    {
        foreach (CrashModel model in Enum.GetValues<CrashModel>())
        {
            var state = new CrashState(disk, model, seed);
            do
            {
                if (_random.Next(CheckOneIn) != 0 && state.Prefix != disk.OperationCount)
                    continue;

                // The model makes no difference to a process that dies alone, so it does that once.
                if (KillsProcess && model == CrashModel.Journaled)
                    await CheckAsync(state, "process killed", state.Killed(), evidence.At(state.Prefix, processOnly: true), depth: 1);

                await CutAsync(state, model, evidence, depth: 1);
            }
            while (state.Advance());
        }
    }

    private Task CutAsync(CrashState state, CrashModel model, LogEvidence evidence, int depth) =>
        CheckAsync(state, $"power cut, {model}", state.PowerCut(_random), evidence.At(state.Prefix, processOnly: false), depth);

    private async Task CheckAsync(CrashState state, string kind, SimulatedDisk image, LogPromise promise, int depth)
    {
        Images++;
        try
        {
            LogEvidence evidence = await new ImageChecker(_honest, _random, depth).CheckAsync(image, promise);
            if (depth == 1 && _random.Next(SecondCutOneIn) == 0)
                await CutRecoveryAsync(image, evidence);
        }
        catch (Exception error)
        {
            string last = string.Join(Environment.NewLine, state.Last(12).Select(operation => "    " + operation));
            string files = string.Join(", ", image.Describe());
            throw new LogViolationException(
                $"EDGESTREAM_SEED={seed}, {kind} after operation {state.Prefix}: {error.Message}{Environment.NewLine}"
                + $"  last operations:{Environment.NewLine}{last}{Environment.NewLine}  image: {files}",
                error);
        }
    }

    private async Task CutRecoveryAsync(SimulatedDisk recovered, LogEvidence evidence)
    {
        CrashModel model = _random.Next(2) == 0 ? CrashModel.Journaled : CrashModel.Strict;
        var state = new CrashState(recovered, model, seed);
        int one = Math.Max(1, recovered.OperationCount / 4);
        do
        {
            if (_random.Next(one) == 0)
                await CutAsync(state, model, evidence, depth: 2);
        }
        while (state.Advance());
    }
}
