namespace EdgeStream.Cluster.Groups;

/// <summary>
/// Who of a group reads which partitions of a topic: each partition has one reader at most, members have as many as each other or one
/// more, and as few as possible change hands. Not safe for several callers at once.
/// </summary>
internal sealed class ConsumerGroup(string name, string topic)
{
    private readonly List<GroupMember> _members = [];

    public string Name => name;

    public string Topic => topic;

    public IReadOnlyList<GroupMember> Members => _members;

    public void Add(GroupMember member) => _members.Add(member);

    public void Remove(GroupMember member) => _members.Remove(member);

    public GroupMember? OwnerOf(int partition) => _members.Find(member => member.Owned.Contains(partition));

    /// <summary>
    /// Shares the partitions anew. One that is taken from a member that was told of it goes to another once it is released, so that no two
    /// ever read it at the same time.
    /// </summary>
    /// <param name="partitions">All that the topic has.</param>
    /// <param name="now">When it is, for <see cref="GroupMember.ReleasingSince"/>.</param>
    public void Share(IReadOnlyCollection<int> partitions, long now)
    {
        if (_members.Count == 0)
            return;

        HashSet<GroupMember> changed = [];
        TakeAway(partitions.Count, now, changed);
        HashSet<int> taken = [.. _members.SelectMany(member => member.Owned.Concat(member.Releasing))];
        foreach (int free in partitions.Where(partition => !taken.Contains(partition)))
        {
            GroupMember poorest = _members.MinBy(member => member.Owned.Count)!;
            poorest.Owned.Add(free);
            changed.Add(poorest);
        }

        foreach (GroupMember member in changed)
            member.Changed();
    }

    private void TakeAway(int partitions, long now, HashSet<GroupMember> changed)
    {
        int each = partitions / _members.Count, withOneMore = partitions % _members.Count;
        foreach (GroupMember member in _members.OrderByDescending(member => member.Owned.Count).ToArray())
        {
            int most = each;
            if (withOneMore > 0 && member.Owned.Count > each)
            {
                most++;
                withOneMore--;
            }

            while (member.Owned.Count > most)
            {
                int last = member.Owned.Max;
                member.Owned.Remove(last);
                changed.Add(member);

                // Members come at the same instant after a restart: one that was not told yet that this was its own would never let go of it.
                if (!member.Told.Contains(last))
                    continue;

                if (member.Releasing.Count == 0)
                    member.ReleasingSince = now;

                member.Releasing.Add(last);
            }
        }
    }
}
