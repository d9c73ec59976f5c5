"""Who a person is: passwords, codes, passkeys, OpenID Connect, sessions, slowing down of guesses."""
