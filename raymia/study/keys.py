"""What each key of a sweep file means, in a sentence: for editors and the reference."""

KEYS = {
    "name": "The study's name: results go to results/<name> unless --out says otherwise.",
    "dataset": "The records: a data set's name, or the name with its arguments.",
    "network": "What is trained: a network's name, or the name with its arguments.",
    "protocol": "Who trains on what: how target and shadow models draw their members.",
    "defenses": "The arms of the search: each a list of parts with fixed, listed or ranged knobs; "
    "[] is no defense.",
    "attacks": "standard, all, or a list of attacks.",
    "attacker": "adaptive: shadows are trained under the target's own defense; plain: beside "
    "them, under none.",
    "training": "The schedule, field by field over the data set's own.",
    "search": "How many points are tried, how they are suggested, and what is weighed.",
    "resources": "What one trial is given.",
    "keep_signals": "Which models and answers are kept: of all trials, of the front's, of none.",
    "canaries": "Planted records, whose membership is the worst case: standard, or how many of "
    "each kind.",
    "published": "What a paper printed of this sweep; it decides nothing, `raymia compare` shows "
    "it.",
}
TRAINING = {
    "epochs": "How often a model goes over its members.",
    "batch_size": "Records a step.",
    "optimizer": "What moves the weights.",
    "lr": "The learning rate.",
    "momentum": "Of sgd.",
    "weight_decay": "The weight of the squared weights.",
    "milestones": "[place, factor] pairs: from that fraction of the epochs, or that whole epoch, "
    "on the rate is lr times the factor.",
    "stop": "The number of epochs that are run, without rescaling the schedule; null: all.",
    "augment": "How pictures are changed in each step; crop_flip_shared: all of a batch alike.",
    "precision": "In which numbers training multiplies.",
    "scale": "By which constants features are standardised: of the reference, of each model's "
    "members, none, or given ones; auto: the reference where it has 30 records.",
    "warmup": "Over so many first epochs the rate grows to its full height.",
    "checkpoint": "Which epoch's network is kept: the last, or the best on the reserve.",
    "engine": "How a step is computed; it changes the last bits alone.",
    "lanes": "How many models are trained at once; auto: what was measured to be fastest.",
}
SEARCH = {
    "trials": "How many trials are run.",
    "sampler": "How points are suggested.",
    "seed": "Of all draws: records, splits, weights, batches, suggestions.",
    "lag": "A suggestion sees the trials that are so many or more before it, so at most so many "
    "run at once.",
    "race": "Not in this version.",
    "from": "Not in this version.",
    "constraints": "Not in this version.",
    "objective": "The two columns that the front is of.",
    "repeats": "So many trials of every point, each with draws of its own.",
}
OBJECTIVE = {
    "accuracy": "More of it is better.",
    "privacy": "Less of it is better: the largest over the attacks, or of the canaries.",
}
RESOURCES = {
    "cpu": "CPU cores.",
    "gpu": "GPUs; a fraction packs several trials on one.",
    "spread": "So many bundles of these, on as many nodes as it takes.",
    "time_limit": "Seconds that a trial may take; null: any.",
}
CANARIES = {
    "mislabelled": "A record's features under another label.",
    "blank": "One value everywhere, another in each record.",
    "out_of_distribution": "Values of the whole data set, drawn one by one.",
    "near_duplicates": "Another record, moved by a hundredth of the range.",
}
PUBLISHED = {
    "source": "The paper and its table.",
    "rows": "A published row each.",
    "arm": "The number of the arm, from 0.",
    "network": "The sweep's own.",
    "note": "What a reader must know of it.",
}
RANGE = {
    "low": "The least value that the search tries.",
    "high": "The largest value that the search tries.",
    "log": "Whether it is searched on a log scale.",
}
