"""Text taken apart by hand: words, lines, numbers; and sums and primes by the methods taught at school."""

DIGITS = "0123456789"


def words(text: str) -> list[str]:
    """Return what white space parts."""
    found, word = [], ""
    for character in text:
        if character.isspace():
            if word:
                found.append(word)
            word = ""
        else:
            word += character
    return [*found, word] if word else found


def lines(text: str) -> list[list[str]]:
    """Return the words of each line that holds some."""
    rows, row = [], ""
    for character in text + "\n":
        if character == "\n":
            rows.append(words(row))
            row = ""
        else:
            row += character
    return [row for row in rows if row]


def bare(text: str) -> str:
    """Return a text without the white space around it."""
    begin, end = 0, len(text)
    while begin < end and text[begin].isspace():
        begin += 1
    while end > begin and text[end - 1].isspace():
        end -= 1
    return text[begin:end]


def only_digits(word: str) -> bool:
    return word != "" and all(character in DIGITS for character in word)


def is_number(word: str, most: int) -> bool:
    """Say whether a word is a number as one writes it: ASCII digits, at most so many, no 0 in front."""
    return only_digits(word) and len(word) <= most and (word == "0" or word[0] != "0")


def scan_digits(text: str, begin: int) -> str:
    """Return the digits of a text from a place on."""
    end = begin
    while end < len(text) and text[end] in DIGITS:
        end += 1
    return text[begin:end]


def add(a: str, b: str) -> str:
    """Return the sum of two numbers, column by column."""
    total, carry = "", 0
    for place in range(max(len(a), len(b))):
        column = carry
        for number in (a, b):
            if place < len(number):
                column += DIGITS.index(number[-1 - place])
        total = DIGITS[column % 10] + total
        carry = column // 10
    return "1" + total if carry else total


def _make_sieve(limit: int) -> bytearray:
    table = bytearray([1]) * limit
    table[0] = table[1] = 0
    for number in range(2, limit):
        if number * number >= limit:
            break
        if table[number]:
            for multiple in range(number * number, limit, number):
                table[multiple] = 0
    return table


_SIEVE = _make_sieve(20_000)
_PRIMES = [number for number in range(20_000) if _SIEVE[number]]
_BY_DIVISION = 20_000**2


def is_prime(number: int) -> bool:
    """Say whether a number below 2**64 is prime: by division while that is quick, else by Baillie and Wagstaff.

    Their test (Lucas Pseudoprimes, 1980) joins a strong test to the base 2 with a Lucas test. It is known to be
    right below 2**64, and is another one than aritmo's, which tests to several bases.
    """
    if number < len(_SIEVE):
        return number >= 0 and bool(_SIEVE[number])
    if number < _BY_DIVISION:
        for prime in _PRIMES:
            if prime * prime > number:
                return True
            if number % prime == 0:
                return False
    if any(number % prime == 0 for prime in _PRIMES[:50]):
        return False
    return _passes_base_2(number) and _passes_lucas(number)


def _passes_base_2(number: int) -> bool:
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    power = pow(2, odd, number)
    if power == 1:
        return True
    for _ in range(twos):
        if power == number - 1:
            return True
        power = power * power % number
    return False


def _jacobi(a: int, n: int) -> int:
    a, sign = a % n, 1
    while a:
        while a % 2 == 0:
            a //= 2
            if n % 8 in (3, 5):
                sign = -sign
        a, n = n, a
        if a % 4 == 3 and n % 4 == 3:
            sign = -sign
        a %= n
    return sign if n == 1 else 0


def _passes_lucas(number: int) -> bool:
    """Say whether U of number + 1 is divisible by it, D the first of 5, -7, 9 ... with the Jacobi symbol -1."""
    root = int(number**0.5)
    if any(near * near == number for near in (root - 1, root, root + 1)):
        return False
    d = 5
    while _jacobi(d, number) != -1:
        d = -d - 2 if d > 0 else -d + 2
    q = (1 - d) // 4
    u, v, power = 1, 1, q
    for bit in bin(number + 1)[3:]:
        u, v, power = u * v % number, (v * v - 2 * power) % number, power * power % number
        if bit == "1":
            u, v = u + v, d * u + v
            u = (u if u % 2 == 0 else u + number) // 2 % number
            v = (v if v % 2 == 0 else v + number) // 2 % number
            power = power * q % number
    return u == 0
