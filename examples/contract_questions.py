"""Questions to a contract: answers with their clauses and characters, or that the contract does not say."""

import re

from gliner_mt import QA, Answer, Extractor

CONTRACT = """\
OFFICE LEASE

1. Parties. This lease is made on 3 March 2024 between Northgate Properties Ltd, the landlord, and Juniper
Software GmbH, the tenant.
2. Premises. The landlord lets to the tenant the second floor of 14 Harbour Street, Dublin.
3. Term. The lease begins on 1 April 2024 and ends on 31 March 2029.
4. Rent. The tenant pays 4,200 euros a month, in advance, on the first day of each month.
5. Deposit. On signing the tenant pays a deposit of 12,600 euros, which is returned within 30 days after the
end of the lease.
6. Notice. Either party may end the lease early with six months' written notice.
7. Repairs. The landlord repairs the roof and the outer walls; the tenant keeps the rooms in good order.
"""
QUESTIONS = (
    "Who is the landlord?",
    "Who is the tenant?",
    "When does the lease end?",
    "How much is the rent a month?",
    "How much is the deposit?",
    "How many parking spaces are there?",
)
CLAUSE = re.compile(r"^(\d+)\. (\w+)\.", re.MULTILINE)


def clause_of(answer: Answer) -> str:
    """Return the clause in which an answer stands; offsets are exact, so it is the last heading before it."""
    headings = [match for match in CLAUSE.finditer(CONTRACT) if match.start() <= answer.start]
    return f"clause {headings[-1][1]} ({headings[-1][2]})" if headings else "title"


answers = Extractor.load().extract(CONTRACT, QA(QUESTIONS, top=1))
for question, ranked in zip(QUESTIONS, answers, strict=True):
    print(question)
    for answer in ranked:
        assert CONTRACT[answer.start : answer.end] == answer.text
        where = f"{clause_of(answer)}, characters {answer.start}-{answer.end}"
        print(f"    {' '.join(answer.text.split())}  [{where}, score {answer.score:.2f}]")
    if not ranked:
        print("    the contract does not say")
