"""What `gliner-mt COMMAND --help` says first: what a command finds, and commands to copy."""

EXTRACT = """\
Find spans of text that your labels describe.

The input is one of:

- a text, in quotes
- files: .txt and .md (one text each), .jsonl, .csv and .parquet (a text a row, in `--text-column`)
- stdin: `-`, or nothing when something is piped in; one text, or with `--lines` one a line

A single input that is no file is a text; with `--text` it is one whatever it looks like.
Results are a table on a terminal and JSON lines in a pipe or a file.
The exit code is 2 if anything could not be read, 130 after Ctrl-C.

```
gliner-mt extract "Ada Lovelace lived in London." --labels person,city
gliner-mt extract notes/*.md --task task.yaml --html notes.html
gliner-mt extract mail.csv --text-column body -l product,price -o out.jsonl
zcat app.log.gz | gliner-mt extract --lines -l "host,error code" | head
```

A task file holds labels, their descriptions and thresholds, or any other task, or several of them:

```
labels:
  company: a business or firm
  price: {description: an amount of money, threshold: 0.3}
threshold: 0.5
```
"""

_SHARED = "Inputs, outputs and exit codes are those of `gliner-mt extract`."

RELATIONS = f"""\
Find relations between entities.

A relation may name the types of its head and its tail, several with a bar between them. With `<>` it is
symmetric. The types are the entities that are looked for, unless `--entities` names more.

```
gliner-mt relations a.txt -r "works for:person>company|school,born in:>city"
gliner-mt relations "Ada knew Charles." -r "knows:person<>person"
gliner-mt relations b.jsonl -r "owns,part of" -l company,product --html b.html
```

{_SHARED} The model needs a pair head: see `gliner-mt info`.
"""

ANSWER = f"""\
Answer questions with words of the text; a question that the text does not answer has no answer.

```
gliner-mt answer contract.txt -q "Who is the tenant?" -q "When does it end?"
gliner-mt answer mail.csv --text-column body -q "Which order?" -o orders.jsonl
```

{_SHARED}
"""

TRIPLES = f"""\
Find who does what to whom, when and where, whatever the text is about.

```
gliner-mt triples "Marie Curie won the Nobel Prize in 1903."
gliner-mt triples news/*.txt -o facts.jsonl --html facts.html
```

{_SHARED} The model needs a pair head: see `gliner-mt info`.
"""

SUMMARIZE = f"""\
Choose the key sentences, in the order of the text.

```
gliner-mt summarize report.md --max-sentences 2
gliner-mt summarize articles.jsonl --max-words 60 -o short.jsonl
```

{_SHARED}
"""

CLASSIFY = f"""\
Say which of your classes a text belongs to.

```
gliner-mt classify mail.csv --text-column body -l complaint,question,praise
gliner-mt classify "It is late and torn." -l delivery,damage --multi-label
```

{_SHARED}
"""

ADAPT = """\
Turn a decoder language model into an encoder.

It learns masked next-token prediction on your texts (LLM2Vec's recipe), both sides of a token in view.
The folder that results is a backbone like any other. A run that was interrupted goes on where it was.

```
gliner-mt adapt --config configs/mntp_llama.yaml --out encoder texts/*.jsonl.gz
```
"""
