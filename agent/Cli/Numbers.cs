using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace EdgeStream.Agent.Cli;

/// <summary>Lets options and arguments say in one line what number they want.</summary>
internal static class Numbers
{
    /// <summary>Refuses what is no number, and numbers below <paramref name="least"/>.</summary>
    public static Option<T?> AtLeast<T>(this Option<T?> option, T least)
        where T : struct, INumber<T>, IMinMaxValue<T>
    {
        option.CustomParser = result => Parse(result, option.Name, least);
        return option;
    }

    /// <inheritdoc cref="AtLeast{T}(Option{T?}, T)"/>
    public static Argument<T> AtLeast<T>(this Argument<T> argument, T least)
        where T : struct, INumber<T>, IMinMaxValue<T>
    {
        argument.CustomParser = result => Parse(result, argument.Name, least) ?? default;
        return argument;
    }

    /// <summary>Refuses what is no number.</summary>
    public static Option<T?> OfNumber<T>(this Option<T?> option)
        where T : struct, INumber<T>, IMinMaxValue<T> => option.AtLeast(T.MinValue);

    private static T? Parse<T>(ArgumentResult result, string name, T least)
        where T : struct, INumber<T>, IMinMaxValue<T>
    {
        string text = result.Tokens[^1].Value;
        if (T.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out T number) && number >= least)
            return number;

        string bound = least == T.MinValue ? "" : string.Create(CultureInfo.InvariantCulture, $" of at least {least}");
        result.AddError($"{name} is a number{bound}, not '{text}'");
        return null;
    }
}
