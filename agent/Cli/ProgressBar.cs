using System.Diagnostics;
using System.Globalization;

namespace EdgeStream.Agent.Cli;

/// <summary>How far something is: one line on a terminal, drawn over itself and taken away at the end. Safe from any thread.</summary>
internal sealed class ProgressBar : IDisposable
{
    private const int Cells = 30;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly string _what;
    private readonly long _total;
    private readonly TextWriter _terminal;
    private readonly int _width;
    private readonly TimeProvider _time;
    private readonly long _startedAt;

    // Guards all below.
    private readonly Lock _lock = new();
    private TimeSpan _drawnAt = -Pause;
    private int _drawn;

    /// <param name="what">What is done, in a word or two.</param>
    /// <param name="total">How much there is to do, in any unit; more than 0.</param>
    /// <param name="terminal">Where it is drawn.</param>
    /// <param name="width">How many characters its lines have.</param>
    /// <param name="time">Tells how long it has taken.</param>
    public ProgressBar(string what, long total, TextWriter terminal, int width, TimeProvider time)
    {
        Debug.Assert(total > 0);
        _what = what;
        _total = total;
        _terminal = terminal;
        _width = width;
        _time = time;
        _startedAt = time.GetTimestamp();
    }

    /// <summary>Runs something with a bar on standard error; without one where that is no terminal, or there is nothing to do.</summary>
    /// <param name="what">What is done, in a word or two.</param>
    /// <param name="total">How much there is to do, in any unit.</param>
    /// <param name="action">Gets what to call with how much of it is done by now.</param>
    public static async Task RunAsync(string what, long total, Func<Action<long>, Task> action)
    {
        if (Console.IsErrorRedirected || total <= 0)
        {
            await action(_ => { }).ConfigureAwait(false);
            return;
        }

        // A serial console may not know its width.
        int width = Console.WindowWidth is > 0 and var known ? known : 80;
        using var bar = new ProgressBar(what, total, Console.Error, width, TimeProvider.System);
        bar.Show(0);
        await action(bar.Show).ConfigureAwait(false);
    }

    /// <summary>Draws it anew, ten times a second at most.</summary>
    public void Show(long done)
    {
        lock (_lock)
        {
            TimeSpan elapsed = _time.GetElapsedTime(_startedAt);
            if (elapsed - _drawnAt < Pause)
                return;

            _drawnAt = elapsed;
            Draw(Line(Math.Clamp((double)done / _total, 0, 1), elapsed));
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            Draw("");
            _terminal.Write('\r');
            _terminal.Flush();
        }
    }

    private string Line(double share, TimeSpan elapsed)
    {
        int full = (int)(share * Cells);
        string left = share > 0 ? (elapsed * ((1 - share) / share)).ToString(@"h\:mm\:ss", CultureInfo.InvariantCulture) : "-:--:--";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{_what} [{new string('#', full)}{new string('.', Cells - full)}] {(int)(share * 100),3} %, {left} left");
    }

    // A line that wraps cannot be drawn over. What the last one was longer by is overwritten: not every terminal knows how to erase.
    private void Draw(string line)
    {
        line = line[..Math.Clamp(_width - 1, 0, line.Length)];
        _terminal.Write('\r' + line.PadRight(_drawn));
        _terminal.Flush();
        _drawn = line.Length;
    }
}
