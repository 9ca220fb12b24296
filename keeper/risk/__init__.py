"""The operator's own opinion of risk: volatility, VaR and ES, Greeks, margin models, haircuts, oracles, ruin.

Pure, vectorised, float64. Units throughout: USD for values, fractions for margins and volatilities, years of
31,536,000 seconds for option time, variance per day inside the volatility models, the square root of 365 to annualise.
A figure that cannot be computed is a :class:`keeper.core.errors.RiskInputError`, never a silent number.

Reading order: ``volatility``, ``garch``, ``regimes``, ``surface`` (how prices move); ``tail``, ``backtest`` (how far);
``instruments``, ``greeks`` (what moves with them); ``margin`` (what must be set aside); ``haircuts``, ``oracles``,
``auctions``, ``waterfall`` (what closing it costs, and who pays); ``passage``, ``contagion`` (how near, who is next).
"""
