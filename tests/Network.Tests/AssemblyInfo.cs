// Most of the time they wait for a timeout to pass or a slow link to deliver.
[assembly: CollectionBehavior(MaxParallelThreads = 4)]
